"""A limit on how often one asker may cause reads: one token bucket each.

A refusal from memory costs nothing and is not counted. All other questions read the Exchange, which
serves the whole hub, and a node can name as many policies as it likes. A full bucket is as good as
none, so only those of the last minute are kept.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

from agbot.clock import Clock

_MAX_ASKERS = 65_536
"""The most buckets that are kept. The asker with the oldest question has the fullest."""
_DROPPED_AT_ONCE = 64
"""How many full buckets one question removes: after a storm of askers the next few remove all."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class Budget:
    """The buckets of all askers. `now` is the event loop's time, in seconds."""

    def __init__(self, per_minute: int, clock: Clock, *, max_askers: int = _MAX_ASKERS) -> None:
        self._size = float(per_minute)
        self._per_second = per_minute / clock.real_seconds(60.0)
        self._max_askers = max_askers
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def spend(self, asker: Hashable, now: float) -> bool:
        """Take one token; False if there is none."""
        bucket = self._buckets.pop(asker, None) or _Bucket(self._size, now)
        bucket.tokens = min(self._size, bucket.tokens + (now - bucket.at) * self._per_second)
        bucket.at = now
        self._buckets[asker] = bucket
        self._drop_full(now)
        if bucket.tokens < 1.0:
            return False
        bucket.tokens -= 1.0
        return True

    def _drop_full(self, now: float) -> None:
        for _ in range(_DROPPED_AT_ONCE):
            oldest = next(iter(self._buckets.values()))
            is_full = oldest.tokens + (now - oldest.at) * self._per_second >= self._size
            # the asker's own is still full here: if it were dropped, nothing would ever be spent
            if not (is_full and oldest.at < now) and len(self._buckets) <= self._max_askers:
                return
            self._buckets.popitem(last=False)
