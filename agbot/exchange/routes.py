"""Builds paths of the Exchange below `/v1` from ids.

Every element is percent-encoded, so that ids with `@`, `%`, spaces or any script arrive unchanged.
`.` and `..` are encoded too, so that a proxy does not resolve them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

PLACEHOLDER: Final = re.compile(r"\{[^/]*\}")
"""The name of an id in a template."""


def _element(text: str) -> str:
    """Percent-encode one element of a path.

    Raises:
        ValueError: the element is empty; the path would name another resource.
    """
    if not text:
        message = "an element of an Exchange path is empty"
        raise ValueError(message)
    if text in {".", ".."}:
        return text.replace(".", "%2E")
    # A lone surrogate (from undecodable bytes in a request) becomes an id that does not exist.
    return quote(text, safe="", errors="surrogatepass")


def path(template: str, values: Sequence[str]) -> str:
    """Fill a template such as `/orgs/{org}/nodes/{node}` with these values, in order.

    Raises:
        ValueError: a value is empty.
    """
    left = iter(values)
    return PLACEHOLDER.sub(lambda _: _element(next(left)), template)
