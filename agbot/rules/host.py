"""An upgrade of a host's operating system, which ends with a reboot (FleetLock).

It takes the node down like an agent upgrade, and so the same rules decide on it, except those about
a release: no policy of the Exchange describes it, so it has no revision to approve and no canaries.
"""

from __future__ import annotations

from typing import Final

from agbot.rules import ids
from agbot.rules.facts import Policy
from agbot.rules.ids import OrgId, PolicyId

_NAME: Final = "operating-system"


def subject_of(org: OrgId) -> PolicyId:
    """Return what stands for the operating systems of an organisation in leases and brakes."""
    return ids.policy_id(org, _NAME)


def policy_of(subject: PolicyId) -> Policy:
    """Return what stands for its policy: it always exists and has no revision."""
    return Policy(id=subject)
