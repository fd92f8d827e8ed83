"""The decision record: writes the facts of a decision as a JSON value, and reads them back.

It holds the question, or the lease under review, and the facts. It is exact: with the value that
`read` returns, the rules give the same reasons as with the value that `write` was given, at the
same time. It is short: only what is relevant to the decision is written (`agbot.rules.relevance`),
without empty fields, but with every limit, because a default may change later.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from datetime import UTC, datetime, tzinfo
from functools import cache, lru_cache
from types import NoneType
from typing import Any, Final, TypeVar
from zoneinfo import ZoneInfo

import msgspec

from agbot.rules.facts import Ask, Policy, Sight
from agbot.rules.group import Group, Rollout
from agbot.rules.holder import Review, Seen
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind, Lease
from agbot.rules.limits import Limits
from agbot.rules.relevance import relevant_to, relevant_to_review
from agbot.rules.rule import Case
from agbot.rules.seen_time import Gap, Now, SeenTime
from agbot.store.texts import seen_in_json

_AS_IN_JSON: Final = frozenset({str, int, float, bool, NoneType})

_Form = TypeVar("_Form")


class DecisionRecordError(ValueError):
    """The facts of a decision cannot be read; the message says what is wrong with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blindness:
    """How seen time differs from wall time at that moment, and whether the date is steady.

    It is left out if there is no difference and the date is steady.
    """

    seen: SeenTime
    clear_since: SeenTime | None = None
    gaps: tuple[Gap, ...] = ()
    is_steady: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Written:
    """The form in JSON.

    Policies and rollouts are beside the group, because a pair cannot be a key.
    """

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


def write(case: Case) -> dict[str, Any]:
    """Return the record of a question, with the facts that are relevant to it."""
    ask, at, reduced = case.ask, case.at, relevant_to(case.ask, case.group)
    policies = tuple((*subject, policy) for subject, policy in reduced.policies.items())
    rollouts = tuple((*subject, rollout) for subject, rollout in reduced.rollouts.items())
    rest = msgspec.structs.replace(reduced, policies={}, rollouts={})
    written = _Written(at=at.wall, blindness=_blindness(at), ask=ask, group=rest, policies=policies, rollouts=rollouts)
    return dict(_plain(written))


def write_review(review: Review) -> dict[str, Any]:
    """Return the record of a review, with the facts that are relevant to it."""
    lease, seen = relevant_to_review(review.lease, review.seen)
    at, limits = review.now, review.limits
    return dict(_plain(_WrittenReview(at=at.wall, blindness=_blindness(at), lease=lease, seen=seen, limits=limits)))


def read(decision_record: object) -> Case:
    """Read what `write` wrote, also in another version of this program.

    Raises:
        DecisionRecordError: this program cannot read it.
    """
    written = _converted(decision_record, _Written)
    policies = {(kind, subject): policy for kind, subject, policy in written.policies}
    rollouts = {(kind, subject): rollout for kind, subject, rollout in written.rollouts}
    group = msgspec.structs.replace(written.group, policies=policies, rollouts=rollouts)
    return Case(at=_now(written), ask=written.ask, group=group)


def read_review(decision_record: object) -> Review:
    """Read what `write_review` wrote.

    Raises:
        DecisionRecordError: this program cannot read it.
    """
    written = _converted(decision_record, _WrittenReview)
    try:
        return Review(now=_now(written), lease=written.lease, seen=written.seen, limits=written.limits)
    except ValueError as error:
        raise DecisionRecordError(str(error)) from error


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


def _converted(decision_record: object, form: type[_Form]) -> _Form:
    try:
        return msgspec.convert(decision_record, form, dec_hook=_read_in)
    # a time zone may be unknown on this machine
    except (ValueError, TypeError, KeyError, OSError) as error:
        message = f"the facts of this decision cannot be read: {error}"
        raise DecisionRecordError(message) from error


def _plain(value: Any) -> Any:  # noqa: ANN401 - a JSON value of any shape
    return _FORMS[value.__class__](value)


class _Forms(dict[type, Callable[[Any], Any]]):
    """The function that writes a value, by its class. Each is made once."""

    def __missing__(self, kind: type) -> Callable[[Any], Any]:
        form = self[kind] = _form(kind)
        return form


_FORMS = _Forms()


def _form(kind: type) -> Callable[[Any], Any]:
    if kind in _AS_IN_JSON:
        return lambda value: value
    if kind is Limits:
        return lambda limits: dict(_plain_limits(limits))
    if is_dataclass(kind) or issubclass(kind, msgspec.Struct):
        return _form_of_fields(kind)
    return next(
        (form for base, form in _OF_CONTAINERS.items() if issubclass(kind, base)),
        lambda value: msgspec.to_builtins(value, enc_hook=_written_as),
    )


_OF_CONTAINERS: Final[Mapping[type, Callable[[Any], Any]]] = {
    Mapping: lambda value: {str(key): _plain(each) for key, each in value.items()},
    frozenset: lambda value: sorted([_plain(each) for each in value]),
    tuple: lambda value: [_plain(each) for each in value],
}


def _form_of_fields(kind: type) -> Callable[[Any], Any]:
    known = _fields(kind)

    def write(value: Any) -> dict[str, Any]:  # noqa: ANN401 - of this kind
        return {
            name: _FORMS[each.__class__](each)  # not `_plain`: a record has fifty fields
            for name, empty in known
            if (each := getattr(value, name)) is not empty and each != empty
        }

    return write


@lru_cache(maxsize=64)
def _plain_limits(limits: Limits) -> Any:  # noqa: ANN401 - a JSON value
    """Write the limits once for the many groups that have them."""
    return _form_of_fields(Limits)(limits)


@cache
def _fields(kind: Any) -> tuple[tuple[str, Any], ...]:  # noqa: ANN401 - a dataclass or a struct
    """Return the names of the fields, each with the value that is not written."""
    whole = kind is Limits
    known = msgspec.structs.fields(kind) if issubclass(kind, msgspec.Struct) else fields(kind)
    return tuple((each.name, MISSING if whole else _default(each)) for each in known)


def _default(field: Any) -> Any:  # noqa: ANN401 - a field of a dataclass or struct, and any default
    if field.default_factory in (MISSING, msgspec.NODEFAULT):
        return MISSING if field.default is msgspec.NODEFAULT else field.default
    return field.default_factory()


def _written_as(value: object) -> str:
    if isinstance(value, SeenTime):
        return str(msgspec.to_builtins(value.as_if_never_blind))
    if not isinstance(value, tzinfo):
        message = f"{type(value).__name__} has no form in a decision record: {value!r}"
        raise TypeError(message)
    return str(value)


def _read_in(kind: type, value: Any) -> Any:  # noqa: ANN401 - msgspec hands over what it has no form for
    if kind is SeenTime:
        return seen_in_json(kind, value)
    if kind is not tzinfo:
        message = f"no form for {kind.__name__}"
        raise TypeError(message)
    return UTC if value == "UTC" else ZoneInfo(value)
