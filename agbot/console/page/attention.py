"""What needs a person, the most urgent first, each with what to do. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agbot.console.answers import CoordinatorView
from agbot.console.page import words
from agbot.coordinator.contract import GroupView, Overview
from agbot.coordinator.listings import Orders
from agbot.delivery.receiver import Receiver
from agbot.rules.ids import NodeId, PolicyId, name_of
from agbot.rules.lease import Kind
from agbot.rules.records import Brake
from agbot.rules.words import few

_NAMED = 3
_AGBOT_FAILS = {
    "not-running": "No agbot runs at [agbot] api; upgrades that it had begun are still waited for",
    "unreadable": "The agbot's local API cannot be read; agent upgrades wait",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where to go, or what to do about it."""

    text: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that a person should know, with what to do about it."""

    level: str
    """`bad`, `warn` or `note`."""
    title: str
    text: str
    links: Sequence[Link] = ()
    is_in_order: bool = False
    """An operator has ordered it, and it needs no one: it lets something pass, or ends alone."""


def items(
    overview: Overview,
    orders: Orders,
    suspects: Iterable[GroupView],
    now: datetime,
    receivers: Iterable[Receiver] = (),
    *,
    coordinators: Sequence[CoordinatorView] = (),
) -> list[Item]:
    """Return everything that needs a person, and at the end what operators have let pass."""
    return [
        *_readiness(overview),
        *(_suspect(group, now) for group in suspects),
        *_more_suspects(overview),
        *_brakes(orders.brakes, now),
        *_failed(overview),
        *_overlaps(overview),
        *_stuck(overview),
        *_receivers(receivers),
        *of_coordinators(coordinators),
        *_bypassing(overview),
        *_never_asked(overview, now),
        *_unmatched(overview),
        *_holds(orders, now),
        *_permissions(orders, now),
    ]


def _readiness(overview: Overview) -> Iterator[Item]:
    for sentence in overview.not_ready:
        yield Item(
            level="bad",
            title="Nothing is granted now" if not overview.ready else "A part of the coordinator fails",
            text=sentence,
        )
    for org in overview.orgs:
        if org.failing:
            yield Item(level="bad", title=f"Organisation {org.org} cannot be read", text=org.failing)
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
    )


def _more_suspects(overview: Overview) -> Iterator[Item]:
    if overview.suspect > _NAMED:
        text = f"{overview.suspect - _NAMED} more leases are suspect."
        yield Item(
            level="bad", title="More suspect leases", text=text, links=[Link(text="All", url="/groups?state=suspect")]
        )


def _brakes(brakes: Iterable[Brake], now: datetime) -> Iterator[Item]:
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
        links = [Link(text="Look at the rollout", url=words.rollout_url(kind, policy, "failed"))]
        if len(found) == 1:
            url = words.order_url("resume", scope=latest.group, subject=policy)
            links.append(Link(text="Resume…", url=url))
        yield Item(
            level="bad",
            title=f"{policy} is stopped in {where}",
            text=f"{last} {latest.cause} on {name_of(latest.node)}{version} {when}. It begins there again only after it "
            "is resumed, or with another version.",
            links=links,
        )


def _failed(overview: Overview) -> Iterator[Item]:
    if overview.failed:
        number = words.count(overview.failed, "member")
        its, agent = ("its", "Its agent does") if overview.failed == 1 else ("their", "Their agents do")
        who = few(overview.failed_named, overview.failed)
        yield Item(
            level="warn",
            title=f"{number} failed {its} last upgrade",
            text=f"{who}. {agent} not try it again until another revision of the policy is published.",
            links=_links(overview.failed_named),
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
        links = [Link(text=name_of(group), url=words.group_url(group)) for group in overview.stuck_in[:_NAMED]]
        yield Item(level="warn", title=f"{number} of the agbot", text=text, links=links)


def _receivers(receivers: Iterable[Receiver]) -> Iterator[Item]:
    for each in receivers:
        if each.error:
            behind = f" ({words.count(each.behind, 'event')} not delivered)" if each.behind else ""
            yield Item(level="warn", title=f"{each.kind} {each.receiver} gets no events", text=f"{each.error}{behind}")


def of_coordinators(coordinators: Sequence[CoordinatorView]) -> Iterator[Item]:
    """Name coordinators that have fallen silent: a note, since the host may be gone for good."""
    if any(not each.is_known for each in coordinators):
        yield _not_known(coordinators)
        return
    gone = [each for each in coordinators if each.is_gone]
    ready = sum(not each.is_gone and not each.leads for each in coordinators)
    left = f"{words.count(ready, 'other stands', 'others stand')} by" if ready else "no other stands by"
    for each in gone:
        silent = words.length(timedelta(seconds=each.seen_seconds_ago))
        yield Item(
            level="note",
            title=f"Coordinator {each.name} is gone",
            text=f"It was last seen {silent} ago; {left} to take over.",
            links=(Link(text="Coordinators", url="/coordinators"),),
        )


def _not_known(coordinators: Sequence[CoordinatorView]) -> Item:
    """State that the store, in which they announce themselves, cannot be read."""
    who = few([each.name for each in coordinators], len(coordinators))
    latest = words.length(timedelta(seconds=min(each.seen_seconds_ago for each in coordinators)))
    return Item(
        level="note",
        title="It is not known which coordinators run",
        text=f"The database, in which {who} announce themselves, was last read {latest} ago.",
        links=(Link(text="Coordinators", url="/coordinators"),),
    )


def _never_asked(overview: Overview, now: datetime) -> Iterator[Item]:
    if overview.never_asked:
        who, since = few(overview.never_asked_named, overview.never_asked), overview.asked_since
        never, when = "never asked here", "yet"
        if since is not None:  # what the store before it knew is lost
            never = f"not asked here since the lease store was replaced {words.relative(min(since, now), now)}"
            when = "since"
        yield Item(
            level="note",
            title=f"{words.count(overview.never_asked, 'member has', 'members have')} {never}",
            text=f"{who}: they had no upgrade {when}, or HZN_AGBOT_URL names another agbot.",
            links=_links(overview.never_asked_named),
        )


def _unmatched(overview: Overview) -> Iterator[Item]:
    for sentence in overview.unmatched_scopes[:_NAMED]:
        text = f"{sentence}: correct the name, unless such a group is still to come."
        yield Item(level="note", title="A scope of the settings has no effect", text=text)
    if len(overview.unmatched_scopes) > _NAMED:
        more = words.count(len(overview.unmatched_scopes) - _NAMED, "more scope has", "more scopes have")
        yield Item(level="note", title=f"{more} no effect", text="`agbot doctor` names all.")


def _links(nodes: Sequence[NodeId]) -> list[Link]:
    """Link the nodes that are named."""
    return [Link(text=name_of(node), url=words.node_url(node)) for node in nodes[:_NAMED]]


def _bypassing(overview: Overview) -> Iterator[Item]:
    if not overview.bypassing:
        return
    who = few(overview.bypassing_named, overview.bypassing)
    yield Item(
        level="warn",
        title=f"{words.count(overview.bypassing, 'member upgrades', 'members upgrade')} without asking here",
        text=f"The agents of {who} ask another agbot: look at their HZN_AGBOT_URL.",
        links=_links(overview.bypassing_named),
    )


def _holds(orders: Orders, now: datetime) -> Iterator[Item]:
    for hold in orders.holds:
        end = f"until {words.clock(hold.until)} ({words.relative(hold.until, now)})" if hold.until else "until resumed"
        yield Item(
            level="note",
            title=f"Hold on {words.scope(hold.scope)}",
            text=f"No upgrade begins there, {end}: {hold.why} ({hold.by}, {words.relative(hold.since, now)})",
            links=(Link(text="Resume…", url=words.order_url("resume", scope=hold.scope)),),
            is_in_order=hold.until is not None,
        )


def _permissions(orders: Orders, now: datetime) -> Iterator[Item]:
    for each in orders.allowances[:_NAMED]:
        what, until = each.subject or "its next upgrade", words.clock(each.until)
        given = f"{each.why} ({each.by}, {words.relative(each.since, now)})"
        yield Item(
            level="note",
            title=f"Allowance of {each.node}",
            text=f"It may begin {what} once past most rules, until {until}: {given}",
            links=(Link(text="Withdraw…", url=words.order_url("withdraw-allowance", node=each.node)),),
            is_in_order=True,
        )
    if len(orders.allowances) > _NAMED:
        title = words.count(len(orders.allowances) - _NAMED, "more allowance")
        link = Link(text="All", url="/orders#allowances")
        yield Item(level="note", title=title, text="`agbot orders` lists all.", links=(link,), is_in_order=True)
    *older, last = [None, *sorted(orders.approvals, key=lambda each: each.since)]
    if last is not None:  # approvals do not expire, so there may be many
        more = f"; {words.count(len(older) - 1, 'older one')} with it: `agbot orders`" if older[1:] else ""
        yield Item(
            level="note",
            title=f"Approval of {last.subject} in {words.scope(last.scope)}",
            text=f"{last.why} ({last.by}, {words.relative(last.since, now)}){more}",
            links=(Link(text="All", url="/orders#approvals"),),
            is_in_order=True,
        )
