"""Other people's text: no control character and no secret of ours comes through, however it is written."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agbot.foreign_text import escaped, escaped_json, excerpt, redacted
from tests.support.examples import some

SECRET: Final = 's3<cr"et/w&th+ev%ery\\th1ng='
WAYS: Final[dict[str, Callable[[str], str]]] = {
    "as it is": lambda secret: secret,
    "in capitals": str.upper,
    "JSON": json.dumps,
    "JSON by number": lambda secret: "".join(f"\\u{ord(letter):04x}" for letter in secret),
    "JSON with slashes escaped": lambda secret: json.dumps(secret).replace("/", "\\/"),
    "JSON in JSON": lambda secret: json.dumps(json.dumps(secret)),
    "JavaScript": lambda secret: "".join(f"\\x{ord(letter):02X}" for letter in secret),
    "HTML": html.escape,
    "HTML by number": lambda secret: "".join(f"&#{ord(letter)};" for letter in secret),
    "HTML by hexadecimal number": lambda secret: "".join(f"&#x{ord(letter):X};" for letter in secret),
    "HTML in JSON": lambda secret: json.dumps(html.escape(secret)),
    "HTML in HTML": lambda secret: html.escape(html.escape(secret)),
    "percent": lambda secret: quote(secret, safe=""),
    "percent in small letters": lambda secret: "".join(f"%{ord(letter):02x}" for letter in secret),
    "percent as in a form": quote_plus,
    "percent in percent": lambda secret: quote(quote(secret, safe=""), safe=""),
    "percent in HTML": lambda secret: html.escape(quote(secret)),
    "hexadecimal": lambda secret: secret.encode().hex(),
    "base64": lambda secret: base64.b64encode(secret.encode()).decode(),
    "base64 for addresses": lambda secret: base64.urlsafe_b64encode(secret.encode()).decode(),
    "base64 behind one letter": lambda secret: base64.b64encode(f"a:{secret}".encode()).decode(),
    "base64 behind two letters": lambda secret: base64.b64encode(f"ab:{secret}".encode()).decode(),
    "base64 of a pair in percent": lambda secret: quote(
        base64.b64encode(f"IBM/us:{secret}".encode()).decode(), safe=""
    ),
    "in two lines": lambda secret: f"{secret[:11]}\n   {secret[11:]}",
    "with a mark between": lambda secret: f"{secret[:11]}\u200b{secret[11:]}",
    "its beginning": lambda secret: f"{secret[:9]}...",
    "its end": lambda secret: f"...{secret[-9:]}",
}


def pieces(secret: str, length: int) -> set[str]:
    return {secret[at : at + length].lower() for at in range(len(secret) - length + 1)}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_secret_is_hidden_however_it_is_written(way: Callable[[str], str]) -> None:
    written = way(SECRET)

    shown = redacted(f"<h1>Denied</h1> token {written} is wrong", [SECRET])

    assert "***" in shown
    assert shown.startswith("<h1>Denied</h1> token ")
    for read in (shown, html.unescape(shown)):
        assert not [piece for piece in pieces(SECRET, 6) if piece in read.lower()]
    assert not [piece for piece in pieces(written, 12) if piece in shown.lower()], "not as it was written either"


@pytest.mark.parametrize("way", some(WAYS.values()), ids=WAYS)
@pytest.mark.parametrize("before", [0, 150, 190, 199])
def test_nor_is_half_of_it_left_where_an_excerpt_ends(way: Callable[[str], str], before: int) -> None:
    shown = excerpt("x" * before + " " + way(SECRET) + "y" * 5000, [SECRET], 200)

    assert not [piece for piece in pieces(SECRET, 6) if piece in shown.lower()]
    assert len(shown) <= 201


def test_what_holds_no_secret_comes_as_it_is() -> None:
    page = '{"code":"401","msg":"&lt;b&gt; \\u0041 %41 invalid"}'

    assert redacted(page, [SECRET, "", "abc"]) == page
    assert redacted(page, []) == page


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=6, max_size=60), st.text())
def test_a_secret_as_it_is_never_stays(secret: str, around: str) -> None:
    assert secret not in redacted(f"{around}{secret}{around}", [secret])


@given(st.text())
def test_an_excerpt_is_one_printable_line(text: str) -> None:
    assert excerpt(text, [SECRET], 50).isprintable()


@given(st.text(st.characters()))
def test_an_escaped_text_is_printable_and_plain_text_is_not_touched(text: str) -> None:
    assert escaped(text).isprintable()
    assert escaped(escaped(text)) == escaped(text)


@given(st.dictionaries(st.text(), st.text() | st.lists(st.text())))
def test_escaped_json_means_what_it_meant_and_holds_no_control_character(value: object) -> None:
    written = escaped_json(json.dumps(value, ensure_ascii=False, indent=2))

    assert json.loads(written) == value
    assert written.replace("\n", "").isprintable()
