"""How long upgrades take: given, or those of the journal, dealt out to the nodes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import median

from agbot.forecast.following import number
from agbot.forecast.snapshot import Snapshot
from agbot.rules.ids import NodeId
from agbot.rules.lease import Kind
from agbot.rules.words import span


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """In seconds, from the grant to the release."""

    of: Mapping[Kind, Sequence[float]]
    """Sorted; a kind of which nothing is known is missing."""
    from_history: frozenset[Kind] = frozenset()
    unknown: frozenset[Kind] = frozenset()
    """Kinds that are not forecast, and are taken to last as long as the longest known upgrade."""

    def of_node(self, kind: Kind, node: NodeId) -> float:
        """Return the duration for a node: always the same one, and all of them over many nodes."""
        known = self.of[kind]
        # divided, because the same number says at which second the node asks (`running._member`):
        # otherwise those that ask early would all be fast
        return known[number(node) // 7 % len(known)]

    def standing_in(self, kinds: Iterable[Kind]) -> Durations:
        """Return these, with a duration for those of the kinds of which nothing is known.

        It is for upgrades under way that the forecast is not about.
        """
        # the longest known one, so that what waits for them does not begin too early; 0 if none is
        unknown = frozenset(kinds) - self.of.keys()
        longest = max((known[-1] for known in self.of.values()), default=0.0)
        return replace(self, of={**self.of, **{kind: [longest] for kind in unknown}}, unknown=unknown)

    def in_words(self, kind: Kind) -> str:
        """Return where the durations come from."""
        known = self.of[kind]
        if kind not in self.from_history:
            return f"{span(known[0])} for each {kind} upgrade, as given"
        count = len(known)
        spread = f"{span(known[0])} to {span(known[-1])}, half of them up to {span(median(known))}"
        return (
            f"{spread}: the last {count} {kind} upgrades of the history"
            if count > 1
            else (f"{span(known[0])}: the only {kind} upgrade of the history")
        )


def durations(snapshot: Snapshot, given: Mapping[Kind, float]) -> Durations:
    """Return the given durations, and those of the history where none is given."""
    held: dict[Kind, list[float]] = {Kind.AGENT: [], Kind.SERVICE: []}
    for policy, seconds in snapshot.orders.held:
        if policy in snapshot.aims:
            held[Kind.AGENT].append(seconds)
        elif policy in snapshot.services:
            held[Kind.SERVICE].append(seconds)
    known = {kind: sorted(of_kind) for kind, of_kind in held.items() if of_kind and kind not in given}
    return Durations(
        of={**known, **{kind: [seconds] for kind, seconds in given.items()}}, from_history=frozenset(known)
    )
