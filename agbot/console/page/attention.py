"""What needs a person, the most urgent first, each with what to do. Pure.

`agbot status` and its exit code, the page, `/readyz?verbose` and the views of rollouts show what is
derived here, so that none of them knows of something that another one does not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Final

from agbot.console.answers import CoordinatorView
from agbot.console.page import notes, words
from agbot.console.page.notes import NAMED, Item, Link
from agbot.console.page.standing import Standing
from agbot.coordinator.contract import GroupView, Overview
from agbot.coordinator.listings import Orders
from agbot.delivery.receiver import Receiver
from agbot.rules.ids import PolicyId, name_of
from agbot.rules.lease import Kind
from agbot.rules.reasons import Code
from agbot.rules.records import Brake
from agbot.rules.words import few

_FOR_A_PERSON: Final = frozenset({Code.BRAKE, Code.ORG_BRAKE, Code.NOT_APPROVED, Code.LEASE_SUSPECT})
"""Reasons that only a person ends. A hold is not among them: an operator has ordered that."""
_AGBOT_FAILS: Final = {
    "not-running": "No agbot runs at [agbot] api; upgrades that it had begun are still waited for",
    "unreadable": "The agbot's local API cannot be read; agent upgrades wait",
}


def items(
    overview: Overview,
    orders: Orders,
    suspects: Iterable[GroupView],
    now: datetime,
    receivers: Iterable[Receiver] = (),
    *,
    coordinators: Sequence[CoordinatorView] = (),
) -> list[Item]:
    """Return everything that needs a person, and the notes. `suspects` are the first of those."""
    return [
        *_readiness(overview),
        *(_suspect(group, now) for group in suspects),
        *_more_suspects(overview),
        *_brakes(orders.brakes, now),
        *_unapproved(orders),
        *_failed(overview),
        *_overlaps(overview),
        *_stuck(overview),
        *_receivers(receivers),
        *_bypassing(overview),
        *_refused_settings(overview),
        *notes.notes(overview, orders, coordinators, now),
    ]


def needs_a_person(standing: Standing, code: str) -> bool:
    """Whether a group goes on with a rollout only after a person has acted."""
    return standing in {Standing.FAILED, Standing.SUSPECT} or code in _FOR_A_PERSON


def _readiness(overview: Overview) -> Iterator[Item]:
    for sentence in overview.not_ready:
        # an Exchange that has just stopped answering: grants go on while the picture is recent
        yield Item(
            level="bad",
            title="Nothing is granted now" if not overview.ready else "A part of the coordinator fails",
            text=sentence,
        )
    # while the Exchange is down this is every organisation, and there may be a thousand
    failing = [each for each in overview.orgs if each.failing]
    for org in failing[:NAMED]:
        yield Item(level="bad", title=f"Organisation {org.org} cannot be read", text=org.failing)
    if more := [each.org for each in failing[NAMED:]]:
        number = words.count(len(more), "more organisation")
        yield Item(level="bad", title=f"{number} cannot be read", text=f"{few(more)}. `agbot status` lists each.")
    if overview.agbot_failing:
        title = _AGBOT_FAILS.get(overview.agbot, "The agbot's local API cannot be read")
        yield Item(level="warn", title=title, text=overview.agbot_failing)
    if overview.guard_failing:
        yield Item(level="bad", title="The guard does not work", text=overview.guard_failing)


def _suspect(group: GroupView, now: datetime) -> Item:
    lease = group.lease
    holder = name_of(lease.holder) if lease.holder else "a node"
    begun = "it began unasked" if lease.is_unasked else "it was granted"
    since = f"; {begun} {words.relative(lease.granted_at, now)}" if lease.granted_at else ""
    return Item(
        level="bad",
        title=f"Suspect lease in {group.id}",
        text=f"It is not known how the upgrade {lease.what} of {holder} ended{since}. {lease.note}".strip(),
        links=(
            Link(text="Look at the group", url=words.group_url(group.id)),
            Link(text="Release…", url=words.order_url("release", group=group.id, token=lease.token)),
        ),
        rollout=(Kind(lease.kind), lease.subject) if lease.kind and lease.subject else None,
    )


def _more_suspects(overview: Overview) -> Iterator[Item]:
    if overview.suspect > NAMED:
        text = f"{overview.suspect - NAMED} more leases are suspect."
        yield Item(
            level="bad", title="More suspect leases", text=text, links=[Link(text="All", url="/groups?state=suspect")]
        )


def _brakes(brakes: Iterable[Brake], now: datetime) -> Iterator[Item]:
    # by upgrade: a bad release stops in many groups, and it is one thing to look at
    by_subject: dict[tuple[Kind, PolicyId], list[Brake]] = defaultdict(list)
    for brake in brakes:
        by_subject[brake.kind, brake.subject].append(brake)
    for (kind, policy), found in sorted(by_subject.items(), key=lambda each: -len(each[1])):
        latest = max(found, key=lambda each: each.since)
        where = latest.group if len(found) == 1 else words.count(len(found), "group")
        when = words.relative(latest.since, now)
        failed = next((str(each.software) for each in latest.failed if each.software), "")
        version = f" (version {failed})" if failed else ""
        last = "It" if len(found) == 1 else "Most recently, it"
        links = [Link(text="Look at these groups", url=words.rollout_url(kind, policy, "failed"))]
        # of many groups some may still be broken: they are resumed from the list, or all by name
        if len(found) == 1:
            url = words.order_url("resume", scope=latest.group, subject=policy)
            links.append(Link(text="Resume…", url=url))
        yield Item(
            level="bad",
            title=f"{policy} is stopped in {where}",
            text=f"{last} {latest.cause} on {name_of(latest.node)}{version} {when}. It begins there again only after it "
            "is resumed, or with another version.",
            links=links,
            rollout=(kind, policy),
        )


def _unapproved(orders: Orders) -> Iterator[Item]:
    for each in orders.awaited:
        where = each.example if each.groups == 1 else words.count(each.groups, "group")
        service = " --service" if each.kind is Kind.SERVICE else ""
        yield Item(
            level="warn",
            title=f"{each.subject} waits for an approval in {where}",
            text=f"The {each.kind} upgrade begins there after `agbot approve {each.scope} --subject {each.subject}{service} --reason …`.",
            links=[
                Link(text="Look at these groups", url=words.rollout_url(each.kind, each.subject, Standing.WAITING)),
                Link(
                    text="Approve…",
                    url=words.order_url("approve", scope=each.scope, subject=each.subject, kind=each.kind),
                ),
            ],
            rollout=(each.kind, each.subject),
        )


def _refused_settings(overview: Overview) -> Iterator[Item]:
    if overview.settings_refused:
        text = f"{few(overview.settings_refused)}. Those of before stay in force, and the next start would fail."
        step = "`agbot check-config` explains each mistake; reload again after that."
        yield Item(level="warn", title="Changed settings are not used", text=f"{text} {step}")


def _failed(overview: Overview) -> Iterator[Item]:
    for each in overview.failed_by_policy:
        number = words.count(each.members, "member")
        its, agent = ("its", "Its agent does") if each.members == 1 else ("their", "Their agents do")
        yield Item(
            level="warn",
            title=f"{number} failed {its} last upgrade by {each.subject}",
            text=f"{few(each.named, each.members)}. {agent} not try it again until another revision of the policy is published.",
            links=notes.links_to(each.named),
            rollout=(Kind.AGENT, each.subject),
        )


def _overlaps(overview: Overview) -> Iterator[Item]:
    if overview.overlaps:
        number = words.count(overview.overlaps, "upgrade overlaps", "upgrades overlap")
        text = "They began without a question while another member was upgrading. The next grant waits for both."
        url = "/groups?state=deferred"
        yield Item(level="warn", title=f"{number} with another one", text=text, links=[Link(text="Show", url=url)])


def _stuck(overview: Overview) -> Iterator[Item]:
    if overview.stuck:
        number = words.count(overview.stuck, "stuck row")
        named = [f"`agbot status {group}`" for group in overview.stuck_in]
        has = "has" if len(named) == 1 else "have"
        where = f" {few(named)} {has} the command that helps." if named else ""
        text = f"The upgrades are over, and the agbot begins no other there.{where}"
        links = [Link(text=name_of(group), url=words.group_url(group)) for group in overview.stuck_in[:NAMED]]
        yield Item(level="warn", title=f"{number} of the agbot", text=text, links=links)


def _receivers(receivers: Iterable[Receiver]) -> Iterator[Item]:
    for each in receivers:
        if each.error:
            behind = f" ({words.count(each.behind, 'event')} not delivered)" if each.behind else ""
            yield Item(level="warn", title=f"{each.kind} {each.receiver} gets no events", text=f"{each.error}{behind}")


def _bypassing(overview: Overview) -> Iterator[Item]:
    if not overview.bypassing:
        return
    who = few(overview.bypassing_named, overview.bypassing)
    yield Item(
        level="warn",
        title=f"{words.count(overview.bypassing, 'member upgrades', 'members upgrade')} without asking here",
        text=f"The agents of {who} ask another agbot: look at their HZN_AGBOT_URL.",
        links=notes.links_to(overview.bypassing_named),
    )
