"""The known name that is nearest to one that is not known: for everything that people type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

_MOST = 500
"""Names that are compared, which takes about 20 µs for each."""
_LIKE = 0.6
"""How alike two names are, from 0 to 1, if one may be meant by the other."""


def nearest(name: str, known: Iterable[str], *, like: float = _LIKE) -> str:
    """Return the known name that this one may stand for; empty if none is so alike."""
    return next(iter(get_close_matches(name, list(known), n=1, cutoff=like)), "")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ` (did you mean acme/pumps?)`; empty if no known name is near."""
    found = closest(name, known)
    return f" (did you mean {found}?)" if found else ""


def closest(name: str, known: Iterable[str]) -> str:
    """Return the known `org/name` that is nearest to this one; empty if none is near.

    A near name of the same organisation goes before the same name in another organisation. Without
    an organisation, that of every one is compared.
    """
    org, own = _split(name)
    of_org, elsewhere = dict[str, str](), ""
    for each in known:
        its_org, its_own = _split(each)
        if its_org == org or not org:
            of_org.setdefault(its_own.casefold(), each)
        elif its_own == own:
            elsewhere = elsewhere or each
    near = nearest(own.casefold(), _shortlist(own.casefold(), of_org))
    return of_org[near] if near else elsewhere


def _split(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    return (first, rest) if slash else ("", name)


def _shortlist(name: str, known: Mapping[str, str]) -> list[str]:
    """Leave out of many names those that share no half with this one."""
    # one mistake leaves one half of a name as it is
    if len(known) <= _MOST:
        return list(known)
    half = len(name) // 2
    ends, begins = name[half:], name[:half]
    return [*(each for each in known if each.endswith(ends)), *(each for each in known if each.startswith(begins))][
        :_MOST
    ]
