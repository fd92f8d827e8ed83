"""The dossier of a decision: the question, or the lease under review, and the facts it was decided on, as a JSON value, and back again.

Exact: the rules say of what `read` returns what they said of what was given to `write`, at the same time. Short: only what bears on the
decision is written (`agbot.rules.bearing`), and of that no empty field; but every limit, because a default may change and what was measured
against must not. A dossier of a program that wrote it otherwise is read as far as it makes sense, or is an error; never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime, tzinfo
from functools import cache
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from agbot.rules.bearing import bearing_on, bearing_on_review
from agbot.rules.facts import Ask, Group, Policy, Rollout, Sight
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.review import Seen
from agbot.rules.seen_time import Gap, Now, SeenTime
from agbot.store.contract import DOSSIER
from agbot.store.texts import seen_in_json

KEY = DOSSIER

_WRITTEN_WHOLE = (Limits,)

_Form = TypeVar("_Form")


class DossierError(ValueError):
    """The facts of a decision cannot be read; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One question with what was known when it was decided."""

    at: Now
    ask: Ask
    group: Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """One review of an occupied lease with what was known of its holder."""

    at: Now
    lease: Lease
    seen: Seen
    limits: Limits

    def __post_init__(self) -> None:
        """Refuse a free lease: there is nothing to review."""
        if self.lease.hold is None:
            message = f"the lease of {self.lease.group} is free"
            raise ValueError(message)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blindness:
    """What makes seen time differ from wall time at that moment, or the date doubtful; left out where nothing does."""

    seen: SeenTime
    clear_since: SeenTime | None = None
    gaps: tuple[Gap, ...] = ()
    is_steady: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """The form in JSON. Policies and rollouts stand beside the group, because a pair is no key there."""

    at: datetime
    ask: Ask
    group: Group
    blindness: _Blindness | None = None
    policies: tuple[tuple[Kind, PolicyId, Policy | Sight], ...] = ()
    rollouts: tuple[tuple[Kind, PolicyId, Rollout], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _WrittenReview:
    at: datetime
    lease: Lease
    seen: Seen
    limits: Limits
    blindness: _Blindness | None = None


def write(ask: Ask, group: Group, at: Now) -> dict[str, Any]:
    """Write what bears on a question."""
    reduced = bearing_on(ask, group)
    policies = tuple((*subject, policy) for subject, policy in reduced.policies.items())
    rollouts = tuple((*subject, rollout) for subject, rollout in reduced.rollouts.items())
    rest = replace(reduced, policies={}, rollouts={})
    written = _Written(at=at.wall, blindness=_blindness(at), ask=ask, group=rest, policies=policies, rollouts=rollouts)
    return dict(_plain(written))


def write_review(review: Review) -> dict[str, Any]:
    """Write what bears on a review."""
    lease, seen = bearing_on_review(review.lease, review.seen)
    at = review.at
    return dict(
        _plain(_WrittenReview(at=at.wall, blindness=_blindness(at), lease=lease, seen=seen, limits=review.limits))
    )


def kept(case: Case | Review) -> dict[str, object]:
    """Return what the journal keeps of a yes, or of a review that changed a lease."""
    return {KEY: write_review(case) if isinstance(case, Review) else write(case.ask, case.group, case.at)}


def read(dossier: object) -> Case:
    """Read what `write` wrote.

    Raises:
        DossierError: it makes no sense to this program.
    """
    written = _converted(dossier, _Written)
    policies = {(kind, subject): policy for kind, subject, policy in written.policies}
    rollouts = {(kind, subject): rollout for kind, subject, rollout in written.rollouts}
    return Case(at=_now(written), ask=written.ask, group=replace(written.group, policies=policies, rollouts=rollouts))


def read_review(dossier: object) -> Review:
    """Read what `write_review` wrote.

    Raises:
        DossierError: it makes no sense to this program.
    """
    written = _converted(dossier, _WrittenReview)
    try:
        return Review(at=_now(written), lease=written.lease, seen=written.seen, limits=written.limits)
    except ValueError as error:
        raise DossierError(str(error)) from error


def _blindness(at: Now) -> _Blindness | None:
    blindness = _Blindness(seen=at.seen, clear_since=at.clear_since, gaps=at.gaps, is_steady=at.is_steady)
    return None if at == Now.unblinded(at.wall) else blindness


def _now(written: _Written | _WrittenReview) -> Now:
    known = written.blindness
    if known is None:
        return Now.unblinded(written.at)
    return Now(
        wall=written.at,
        seen=known.seen,
        clear_since=known.clear_since,
        gaps=known.gaps,
        is_steady=known.is_steady,
    )


def _converted(dossier: object, form: type[_Form]) -> _Form:
    try:
        return msgspec.convert(dossier, form, dec_hook=_read_in)
    except (ValueError, TypeError, KeyError, OSError) as error:  # a time zone may be unknown on this machine
        message = f"the facts of this decision cannot be read: {error}"
        raise DossierError(message) from error


def _plain(value: Any) -> Any:  # noqa: ANN401 - a JSON value of any shape
    if is_dataclass(value):
        shown = ((name, getattr(value, name), empty) for name, empty in _fields(value.__class__))
        return {name: _plain(each) for name, each, empty in shown if empty is MISSING or each != empty}
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, frozenset):
        return sorted(_plain(each) for each in value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return msgspec.to_builtins(value, enc_hook=_written_as)


@cache
def _fields(kind: type) -> tuple[tuple[str, Any], ...]:
    """Return the names of a dataclass's fields, each with the value that is not written."""
    whole = kind in _WRITTEN_WHOLE
    return tuple((each.name, MISSING if whole else _default(each)) for each in fields(kind))


def _default(field: Any) -> Any:  # noqa: ANN401 - Field[Any] and the default of any field
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _written_as(value: object) -> str:
    if isinstance(value, SeenTime):
        return str(msgspec.to_builtins(value.as_if_never_blind))
    if not isinstance(value, tzinfo):
        message = f"{type(value).__name__} has no form in a dossier: {value!r}"
        raise NotImplementedError(message)
    return str(value)


def _read_in(kind: type, value: Any) -> Any:  # noqa: ANN401 - msgspec hands over what it has no form for
    if kind is SeenTime:
        return seen_in_json(kind, value)
    if kind is not tzinfo:
        message = f"no form for {kind.__name__}"
        raise NotImplementedError(message)
    return UTC if value == "UTC" else ZoneInfo(value)
