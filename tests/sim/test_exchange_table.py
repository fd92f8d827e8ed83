"""A table lists the rows of one organisation as a scan of all rows would, in the order of creation."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as some

from agbot.sim.exchange.table import Key, Table

KEYS = some.tuples(some.sampled_from(["o1", "o2"]), some.sampled_from(["a", "b", "c"]))
STEPS = some.lists(some.tuples(some.sampled_from(["set", "delete", "pop"]), KEYS, some.integers()), max_size=30)


@given(STEPS)
def test_the_rows_of_an_organisation_are_those_that_a_scan_finds(steps: list[tuple[str, Key, int]]) -> None:
    table: Table[int] = Table()
    for what, key, row in steps:
        if what == "set":
            table[key] = row
        elif what == "pop":
            table.pop(key, None)
        elif key in table:
            del table[key]

    for each in (table, pickle.loads(pickle.dumps(table))):  # noqa: S301 - a copy of our own making
        for org in ("o1", "o2", "o3"):
            assert each.of_org(org) == [(key[1], row) for key, row in table.items() if key[0] == org]
