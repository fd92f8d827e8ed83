"""Requests about rollouts: what the page shows of them, as JSON."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from aiohttp import web

from agbot.console import parts, replies, status
from agbot.console.page.rollouts import Line, over_time, selected
from agbot.console.page.standing import Standing, Summary
from agbot.console.page.views import ROLLOUTS
from agbot.console.requests import not_found, number, unknown_policy, word
from agbot.console.rollout_views import (
    EndView,
    PointView,
    RolloutLine,
    RolloutList,
    RolloutView,
    StandView,
    SummaryView,
)
from agbot.rules import ids
from agbot.rules.ids import PolicyId
from agbot.rules.lease import Kind

_SUMMARISED: Final = 4
_GROUPS: Final = 50
_MOST_GROUPS: Final = 1000
View = TypeVar("View", bound=msgspec.Struct)


async def rollouts(request: web.Request) -> web.Response:
    """List running and recent rollouts, the first ones with their summary."""
    known, now = request.app[ROLLOUTS], parts.of(request).clock.now()
    found = await known.lines(now, summarised=_SUMMARISED)
    lines = [_line(each) for each in found.lines]
    return replies.json(RolloutList(at=now, rollouts=lines, total=found.total, lack=known.chronicler.lack))


async def rollout(request: web.Request) -> web.Response:
    """Show one rollout."""
    known, now = request.app[ROLLOUTS], parts.of(request).clock.now()
    policy = ids.policy_id(request.match_info["org"], request.match_info["policy"])
    standing = word(request, "standing", Standing, "a standing") if request.query.get("standing") else None
    kind = await _kind(request, policy)
    whole = await known.whole((kind, policy), now)
    found = selected(
        whole.summary.stands,
        find=request.query.get("find", ""),
        standing=standing or "",
        code=request.query.get("code", ""),
    )
    begin = number(request, "offset", least=0) or 0
    limit = min(number(request, "limit", least=1) or _GROUPS, _MOST_GROUPS)
    return replies.json(
        RolloutView(
            at=now,
            policy=policy,
            kind=str(kind),
            begun_at=whole.begun_at,
            summary=_summary(whole.summary),
            end=_seen(whole.end, EndView),
            attention=status.shown(status.of_rollout(request, (kind, policy))),
            accuracy=known.accuracy.in_words(),
            over_time=[
                PointView(at=at, begun=begun, done=done)
                for at, begun, done in over_time(whole.summary, whole.begins, now)
            ],
            groups=[_seen(each, StandView) for each in found[begin : begin + limit]],
            total=len(found),
            lack=known.chronicler.lack,
        )
    )


async def _kind(request: web.Request, policy: PolicyId) -> Kind:
    """Return the kind of `?kind=`, or that in which the policy is known.

    Raises:
        ApiError: no group takes part, or it is not a kind.
    """
    given, known = word(request, "kind", Kind, "a kind of upgrade"), request.app[ROLLOUTS]
    kinds = list(Kind) if given is None else [given]
    # a rollout that has begun goes first: a policy of the other kind may just have the same name
    begun = [kind for kind in kinds if await known.has_begun((kind, policy))]
    if begun:
        return begun[0]
    # before all groups are looked at, which takes a second where there are 20,000
    problem = unknown_policy(request, policy)
    for kind in kinds if not problem else ():
        if (await known.summary((kind, policy))).expected:
            return kind
    problem = problem or f"no group is known to follow {policy}"
    raise not_found(request, problem, "`agbot rollout` lists the rollouts")


def _line(line: Line) -> RolloutLine:
    kind, policy = line.rollout
    subject = line.subject
    return RolloutLine(
        policy=policy,
        kind=str(kind),
        is_active=line.is_active,
        last_at=line.last_at,
        running=subject.running,
        waiting=subject.waiting,
        stopped=subject.stopped,
        summary=_summary(line.summary) if line.summary is not None else None,
        end=_seen(line.end, EndView) if line.end is not None else None,
    )


def _summary(of: Summary) -> SummaryView:
    return SummaryView(
        groups=of.groups,
        expected=of.expected,
        counts={str(standing): number for standing, number in of.expected_counts.items()},
        reasons=of.reasons,
        members_done=of.members_done,
        members=of.members,
    )


def _seen(found: object, kind: type[View]) -> View:
    """Return what of a value is shown: the fields that the view has too."""
    return msgspec.convert(found, kind, from_attributes=True)
