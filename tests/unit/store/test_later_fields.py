"""A store of a later version in an older program: what that does not know of a lease is passed over."""

from __future__ import annotations

import json

from hypothesis import given

from agbot.rules.lease import Lease
from agbot.store.codec import LEASES
from tests.contract.values import any_leases


@given(lease=any_leases.filter(lambda each: each.last_end is not None))
def test_what_a_later_version_has_added_to_an_end_keeps_no_lease_from_being_read(lease: Lease) -> None:
    """As `is_stopped`, which an older program neither knows nor writes: it may set that brake again."""
    row = LEASES.row(lease)
    end = json.loads(str(row["last_end"]))
    end["later"], end["claim"]["later"] = True, {"of": ["any", "form"]}

    assert LEASES.value({**row, "last_end": json.dumps(end)}, "lease") == lease
