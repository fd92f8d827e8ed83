"""Names that would do something to a terminal, by what they would do."""

from __future__ import annotations

from types import MappingProxyType

HOSTILE = MappingProxyType(
    {
        "clears the screen": "\x1b[2J",
        "sets the title": "\x1b]0;owned\x07",
        "begins a sequence in one byte": "\x9b31m",
        "sends a device string": "\x90q\x9c",
        "turns the direction": "\u202edelldneB\u202c",
        "isolates a direction": "\u2066x\u2069",
        "deletes": "\x7f",
        "goes back": "\b\r",
        "begins a line": "\nok: all well",
        "ends a line by Unicode": "\u2028x\u0085",
        "is not there": "\u200b\U000e0001",
        "is half a pair": "\ud83d",
        "ends a string": "\x00",
    }
)
