"""Who may report the end of a service upgrade, which frees its lease (P2)."""

from __future__ import annotations

from agbot.rules.lease import Lease, occupied


def why_not_ended_by(lease: Lease, who: str, token: int | None) -> str:
    """Say why this identity may not report the end of this tenure; empty if it may.

    The token names the grant, and so does the identity that got the grant.

    Raises:
        IllegalTransitionError: the lease is free.
    """
    progress = occupied(lease).progress
    if token is not None:
        return "" if token == lease.token else f"token {token} is not the token of the present grant"
    if progress.observed:
        # it was granted to no one, so no identity stands for it
        return f"it was observed and not granted, so {who} has to name its token"
    # a grant from before identities were recorded has none, and may be ended by any agbot
    if progress.asked_by and who not in progress.asked_by:
        return f"it was granted to {progress.asked_by[0]}, so {who} has to name the token of that grant"
    return ""
