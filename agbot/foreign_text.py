"""Makes text from outside harmless before it is shown. Pure.

Names of nodes and groups, and servers' answers, are untrusted. Two things must not be shown:
control characters that a terminal interprets (ESC, the C1 controls, the marks that change the
direction of text), and a secret of ours that a server or proxy repeats. A secret is searched for in
plain text and in every usual encoding: JSON and JavaScript escapes, HTML references, percent
escapes, base64 and hexadecimal, also combined, broken into lines, and in part.
"""

from __future__ import annotations

import base64
import html
import os
import re
import socket
import ssl
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Final
from urllib.parse import unquote

HIDDEN: Final = "***"
_SHORTEST_SECRET: Final = 4
"""Replacing every `t` would make a text unreadable and protect nothing."""
_PART: Final = 6
"""So many consecutive characters of a secret are a part of it, not a coincidence."""
_EXAMINED_RATIO: Final = 10
"""How many times the shown length is examined: an escape is up to this much longer than its
character."""
_NOT_PRINTABLE_IN_JSON: Final = re.compile(r"[^\x00-\x7e]")
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\}|x([0-9a-fA-F]{2})|([\"\\/'<>&]))")
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"})
"""What OpenSSL says of an answer that is no TLS; the second one since 3.2."""
_ERRNO: Final = re.compile(r"\[Errno (\d+)\]")
"""What is left of the causes where several addresses were tried."""
_URL_SAFE: Final = str.maketrans("+/", "-_")


def escaped(text: str) -> str:
    r"""Replace each unprintable character by an escape such as `\x1b`: one safe line."""
    return text if text.isprintable() else "".join(map(_escape, text))


def escaped_lines(text: str) -> str:
    """Escape a text of several lines, and keep the lines."""
    return "\n".join(escaped(line.replace("\t", "    ")) for line in text.split("\n"))


def escaped_json(written: str) -> str:
    """Escape a JSON document but keep its value: only its strings contain non-ASCII."""
    return _NOT_PRINTABLE_IN_JSON.sub(_escape_in_json, written)


def excerpt(text: str, secrets: Iterable[str], characters: int) -> str:
    """Return the beginning of a text in one printable line, without the secrets."""
    read = redacted(text[: _EXAMINED_RATIO * characters], secrets)
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in read).split())
    return line if len(line) <= characters else f"{line[:characters]}…"


def unreached(error: BaseException) -> str:
    """Return why there was no connection, without a library's words; empty if there was one.

    aiohttp's errors have the cause, as `os_error` or `certificate_error`, with `host` and `port`.
    """
    met = getattr(error, "os_error", None) or getattr(error, "certificate_error", None)
    if met is None:
        return ""
    if isinstance(met, ssl.SSLCertVerificationError):
        why = f"its certificate is not accepted: {met.verify_message}"
    elif isinstance(met, ssl.SSLError):
        plain = "; does it speak plain HTTP (http://)?" if met.reason in _NOT_TLS else ""
        why = f"no TLS: {met.reason or met}{plain}"
    elif isinstance(met, socket.gaierror):
        why = "the name of the host is not known"
    else:
        number = getattr(met, "errno", None) or next(iter(_ERRNO.findall(str(met))), 0)
        why = os.strerror(int(number)).lower() if number else str(met)
    return f"no connection to {getattr(error, 'host', '')}:{getattr(error, 'port', '')}: {why}"


def unanswered(error: BaseException) -> str:
    """Return why a request has no answer, without received data, which may hold credentials.

    aiohttp's error about an answer that is not HTTP quotes it. It is the one with a `request_info`.
    """
    if hasattr(error, "request_info"):
        return "the answer is not HTTP"
    return unreached(error) or str(error) or type(error).__name__


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return a text without these secrets: decoded if only its decoded form shows one."""
    forms = {compact for secret in secrets for form in _forms(secret) if (compact := _compact(form))}
    if not forms:
        return text
    parts = {form[start : start + _PART] for form in forms for start in range(max(len(form) - _PART, 0) + 1)}
    read = _hide(text, forms)  # whole forms first: a hidden part would make the rest unrecognisable
    shown = _hide(read, parts)
    for decode in _DECODERS * 3:  # no error page is escaped more than three times
        decoded = decode(read)
        if decoded == read:
            continue
        read = _hide(decoded, forms)
        if (hidden := _hide(read, parts)) != decoded:
            shown = hidden
    return shown


def _forms(secret: str) -> Iterator[str]:
    """Yield a secret as it is, in hexadecimal, and as the middle of any base64 that contains it."""
    if len(secret) < _SHORTEST_SECRET:
        return
    content = secret.encode("utf-8", "replace")
    yield secret
    yield content.hex()
    # the number of bytes before it in a group of three, and of the characters that encode them too
    for before, own in enumerate((0, 2, 3)):
        written = base64.b64encode(bytes(before) + content)
        middle = written.rstrip(b"=")[own : -1 if written.endswith(b"=") else None].decode()
        yield middle
        yield middle.translate(_URL_SAFE)


def _compact(form: str) -> str:
    folded = form.casefold()
    if folded.isprintable():  # as nearly every secret is; a blank is the only printable space
        return folded.replace(" ", "")
    return "".join(letter for letter in folded if _is_compared(letter))


def _hide(text: str, parts: set[str]) -> str:
    """Replace every part of a secret, across line breaks too."""
    places = [place for place, letter in enumerate(text) if _is_compared(letter)]
    folded = (text[place].casefold() for place in places)
    compact = "".join(letter if len(letter) == 1 else " " for letter in folded)
    hidden: set[int] = set()
    for length in {len(part) for part in parts}:
        for start in range(len(compact) - length + 1):
            if compact[start : start + length] in parts:
                hidden.update(places[start : start + length])
    return _without(text, hidden) if hidden else text


def _without(text: str, hidden: set[int]) -> str:
    written: list[str] = []
    for place, letter in enumerate(text):
        if place not in hidden:
            written.append(letter)
        elif place - 1 not in hidden:
            written.append(HIDDEN)
    return "".join(written)


def _unescaped(text: str) -> str:
    return _ESCAPE.sub(lambda found: _character(*found.groups()), text)


def _character(four: str | None, braced: str | None, two: str | None, itself: str | None) -> str:
    if itself is not None:
        return itself
    number = int(four or braced or two or "0", 16)
    # a lone surrogate becomes `?`
    return chr(min(number, sys.maxunicode)).encode("utf-8", "replace").decode()


def _percent_decoded(text: str) -> str:
    return unquote(text, errors="replace")


_DECODERS: Final[tuple[Callable[[str], str], ...]] = (_unescaped, html.unescape, _percent_decoded)


def _is_compared(letter: str) -> bool:
    return letter.isprintable() and not letter.isspace()


def _escape(letter: str) -> str:
    return letter if letter.isprintable() else ascii(letter)[1:-1]


def _escape_in_json(found: re.Match[str]) -> str:
    letter = found.group()
    if letter.isprintable():
        return letter
    units = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))
