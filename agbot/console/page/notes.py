"""What a person is shown first, and of that what needs no one: the notes. Pure.

A note is what operators have ordered, and what may be as it should. `attention` has the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from agbot.console.answers import CoordinatorView
from agbot.console.page import words
from agbot.console.page.chronicle import Rollout
from agbot.coordinator.contract import Overview
from agbot.coordinator.listings import Orders
from agbot.rules.ids import NodeId, name_of
from agbot.rules.words import few

NAMED = 3
"""So many are named, and the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """Where to go, or what to do about it."""

    text: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One thing that a person should know, with what to do about it."""

    level: str
    """`bad`, `warn` or `note`: what operators have ordered, and what may be as it should."""
    title: str
    text: str
    links: Sequence[Link] = ()
    rollout: Rollout | None = None
    """The one that it stops, if it is about one."""
    held: str = ""
    """The scope that is on hold, if it is about a hold."""

    @property
    def needs_a_person(self) -> bool:
        """Whether something fails, or stays as it is, until a person acts."""
        return self.level != "note"


def notes(overview: Overview, orders: Orders, coordinators: Sequence[CoordinatorView], now: datetime) -> Iterator[Item]:
    """Yield the notes."""
    yield from of_coordinators(coordinators)
    yield from _never_asked(overview, now)
    yield from _unmatched(overview)
    yield from _holds(orders, now)
    yield from _permissions(orders, now)


def of_coordinators(coordinators: Sequence[CoordinatorView]) -> Iterator[Item]:
    """Name coordinators that have fallen silent: a note, since the host may be gone for good."""
    # all look gone while the database cannot be read, which is no news about any of them
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
            links=links_to(overview.never_asked_named),
        )


def _unmatched(overview: Overview) -> Iterator[Item]:
    for sentence in overview.unmatched_scopes[:NAMED]:
        text = f"{sentence}: correct the name, unless such a group is still to come."
        yield Item(level="note", title="A scope of the settings has no effect", text=text)
    if len(overview.unmatched_scopes) > NAMED:
        more = words.count(len(overview.unmatched_scopes) - NAMED, "more scope has", "more scopes have")
        yield Item(level="note", title=f"{more} no effect", text="`agbot doctor` names all.")


def links_to(nodes: Sequence[NodeId]) -> list[Link]:
    """Link the nodes that are named."""
    return [Link(text=name_of(node), url=words.node_url(node)) for node in nodes[:NAMED]]


def _holds(orders: Orders, now: datetime) -> Iterator[Item]:
    for hold in orders.holds:
        end = f"until {words.clock(hold.until)} ({words.relative(hold.until, now)})" if hold.until else "until resumed"
        yield Item(
            level="note",
            title=f"Hold on {words.scope(hold.scope)}",
            text=f"No upgrade begins there, {end}: {hold.why} ({hold.by}, {words.relative(hold.since, now)})",
            links=(Link(text="Resume…", url=words.order_url("resume", scope=hold.scope)),),
            held=hold.scope,
        )


def _permissions(orders: Orders, now: datetime) -> Iterator[Item]:
    for each in orders.allowances[:NAMED]:
        what, until = each.subject or "its next upgrade", words.clock(each.until)
        given = f"{each.why} ({each.by}, {words.relative(each.since, now)})"
        yield Item(
            level="note",
            title=f"Allowance of {each.node}",
            text=f"It may begin {what} once past most rules, until {until}: {given}",
            links=(Link(text="Withdraw…", url=words.order_url("withdraw-allowance", node=each.node)),),
        )
    if len(orders.allowances) > NAMED:
        title = words.count(len(orders.allowances) - NAMED, "more allowance")
        link = Link(text="All", url="/orders#allowances")
        yield Item(level="note", title=title, text="`agbot orders` lists all.", links=(link,))
    *older, last = [None, *sorted(orders.approvals, key=lambda each: each.since)]
    if last is not None:  # approvals do not expire, so there may be many
        more = f"; {words.count(len(older) - 1, 'older one')} with it: `agbot orders`" if older[1:] else ""
        yield Item(
            level="note",
            title=f"Approval of {last.subject} ({last.kind}) in {words.scope(last.scope)}",
            text=f"{last.why} ({last.by}, {words.relative(last.since, now)}){more}",
            links=(Link(text="All", url="/orders#approvals"),),
        )
