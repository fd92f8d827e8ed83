"""How often one asker may cause work outside: a bucket of tokens each, filled again as time passes.

A refusal from memory costs nothing and is not counted. The rest reads the Exchange, which serves the whole hub, and may be made up: a node
can name as many policies as it likes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from agbot.clock import Clock

MAX_ASKERS = 65_536
"""Buckets that are kept; whoever has not asked for the longest has a full one anyway."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Budget:
    """The buckets of all askers. `now` is the event loop's time, in seconds."""

    def __init__(self, per_minute: int, clock: Clock, *, max_askers: int = MAX_ASKERS) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / clock.real_seconds(60.0)
        self._max_askers = max_askers
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def spend(self, asker: Hashable, now: float) -> bool:
        """Take one token; False when there is none."""
        bucket = self._buckets.pop(asker, None) or _Bucket(self._size, now)
        bucket.tokens = min(self._size, bucket.tokens + (now - bucket.at) * self._per_second)
        bucket.at = now
        self._buckets[asker] = bucket
        if len(self._buckets) > self._max_askers:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True
