"""Checks of every store before and during a swap of a lease."""

from __future__ import annotations

from agbot.rules.lease import Lease


def refuse_impossible(expected: Lease, new: Lease, token_floor: int) -> None:
    """Reject a swap that no correct caller requests.

    Raises:
        ValueError: `new` is of another group, its token is lower than the expected one, or it is a
            grant under a token that may have been given before.
    """
    if new.group != expected.group:
        message = f"a swap of {expected.group}'s lease cannot write the lease of {new.group}"
        raise ValueError(message)
    if new.token < expected.token:
        message = f"the token of {expected.group} is {expected.token} and cannot go back to {new.token}"
        raise ValueError(message)
    # only of a grant: a lease from before the store was replaced keeps its low token while it is
    # renewed
    if expected.token < new.token <= token_floor:
        message = f"token {new.token} of {new.group} may have been given before; the next one is above {token_floor}"
        raise ValueError(message)


def is_as_expected(current: Lease, expected: Lease) -> bool:
    """Whether token and state, the compared part of a lease, are the expected ones."""
    return (current.token, current.state) == (expected.token, expected.state)


def is_first(lease: Lease) -> bool:
    """Whether this is the lease of a group that has never had one, which is not stored."""
    return lease == Lease(group=lease.group)
