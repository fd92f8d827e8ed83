"""What `make test` shows with fewer examples or cases, and `make simulate` with all of them.

Continuous integration runs both. A test that is called by itself has all its cases.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import pytest

ALL_EXAMPLES = "AGBOT_ALL_EXAMPLES"
"""The environment variable that `make simulate` sets."""
thorough = pytest.mark.thorough
"""Left to `make simulate`."""


def examples(number: int) -> int:
    """Return how many examples hypothesis draws, of so many: a tenth in `make test`."""
    return number if os.environ.get(ALL_EXAMPLES) else max(number // 10, 1)


def some(cases: Iterable[Any], *, every: int = 3, first: int = 0) -> list[Any]:
    """Leave all of many similar cases to `make simulate`, but for every third (`every`) from `first` on."""
    return [case if at % every == first else _left(case) for at, case in enumerate(cases)]


def _left(case: Any) -> Any:
    return pytest.param(*case, marks=thorough) if isinstance(case, tuple) else pytest.param(case, marks=thorough)
