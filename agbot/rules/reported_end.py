"""Who may report the end of a service upgrade, which frees its lease (P2)."""

from __future__ import annotations

from agbot.rules.lease import SERVICE, Lease, occupied


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
    return _why_repeated(lease)


def _why_repeated(lease: Lease) -> str:
    """Say that this may be the end of an earlier grant for the same upgrade; empty if it is not."""
    tenure, end = occupied(lease), lease.last_end
    if tenure.claim.kind is not SERVICE or tenure.progress.confirmed or end is None or end.claim != tenure.claim:
        return ""
    return (
        f"this upgrade has not begun since its grant, and grant {end.token} was for the same: the end needs the token"
    )
