"""Generates the sample `config/agbot.toml` and the page `docs/settings.md` from the model.

`python -m agbot.settings.sample toml` and `... page` print them; a test compares the files in the
repository with that. Each key of the sample is on a separate line, commented out with its default
unless it has to be set.
"""

from __future__ import annotations

import functools
import json
import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path

from agbot import _dist
from agbot.rules.limits import Limits
from agbot.settings import document, model

_FILE = "agbot.toml"
_EXAMPLE_SCOPES = """\
#[scope."east-*"]
#windows = ["sat,sun 22:00-04:00 Europe/Berlin"]

#[scope."east-1/edge-*"]
#min_available = 2"""
"""A group of `east-1` takes its windows from the first and `min_available` from the second."""

_TOML_HEAD = """\
Settings of the agbot upgrade coordinator: `agbot run --config FILE`. Check a changed file with `agbot check-config FILE`.

A key after `#` shows its default (or an example, where it has none); remove the `#` to change it.
Every key can also be set in the environment as AGBOT_<SECTION>_<KEY>, which overrides the file; HZN_EXCHANGE_URL and
HZN_MGMT_HUB_CERT_PATH are read too. Secrets are files, never values. Paths are relative to the folder of this file.
The running daemon re-reads the file on SIGHUP (`systemctl reload agbot`); an invalid file is refused, and the old
settings stay in force."""

_PAGE_HEAD = """\
# Settings

`agbot run --config FILE` reads a TOML file; `agbot check-config FILE` reports every mistake at
once, each with its key and line. The documented sample is
[`config/agbot.toml`](../config/agbot.toml), which `agbot install-units` installs. This page is
generated from the same source (`python -m agbot.settings.sample page`).

- Every key can also be set in the environment as `AGBOT_<SECTION>_<KEY>` (`AGBOT_STORE_PATH`),
  which overrides the file. `HZN_EXCHANGE_URL` and `HZN_MGMT_HUB_CERT_PATH` are read as Open
  Horizon's own tools read them; the `AGBOT_` form overrides these. In the environment, lists are
  separated by commas, windows by semicolons.
- Secrets are files: named by a key, or provided by systemd (`LoadCredential=exchange-token:…`,
  `operator-token:…`, `mqtt-password:…`, `webhook-secret:…`, `notify-addresses:…`,
  `store-password:…`). Without systemd, as in a command that you type, a secret without a key is the
  file of that name in the folder of the settings file, from where the installed unit takes it. They
  are never values in the file, on the command line or in a log.
- Relative paths in the file are relative to the folder of the file.
- `SIGHUP` (`systemctl reload agbot`) re-reads everything; a file with a mistake is refused as a
  whole, and the old settings stay in force.
"""

_PAGE_WINDOWS = """\
### Maintenance windows

A window consists of the weekdays on which it opens (`mon-fri`, `sat,sun`, `daily`), its hours, and
an IANA time zone (UTC by default). A window that closes at or before its opening time closes on the
next day. A grant needs an open window. The end of a window stops grants and revokes nothing: a
running upgrade continues, and its lease stays.

The hours are wall-clock time on every day. When clocks are set forward, a window that would open in
the skipped hour opens right after the change, and one that lies within that hour does not open on
that day. When clocks are set back, the repeated hour is inside the window both times: a window that
closed in it opens again.

`windows = []` in a scope means always open, and overrides less specific settings."""

_PAGE_SCOPES = """\
The limits of a group are merged key by key; later sources override earlier ones: the default;
`[rules]` or its environment variable; the matching scopes of organisations, in the order of the
file; the matching scopes of groups, in the order of the file. So a group may take its windows from
its organisation and `min_available` from a scope of its own. Scopes are in the file only: the
environment overrides `[rules]`, and a scope overrides both.

The name is one part of the header: it has to be quoted if it contains anything but letters, digits,
`-` and `_`. It is case-sensitive. A pattern that cannot match anything (an empty part, two slashes,
white space) is a mistake, and so are values that conflict in a group that two scopes match."""

_SHOWN_EFFECTIVE = """\
    $ agbot check-config /etc/agbot/agbot.toml --effective east-1/edge-7
    key                      value                                                           origin
    lease_seconds            600                                                             default
    …
    min_available            2                                                               [scope."east-1/edge-*"] line 14
    …
    windows                  sat,sun 22:00-04:00 Europe/Berlin (opens 2026-11-28 21:00:00Z)  [scope."east-*"] line 11"""


def toml() -> str:
    """Return the sample."""
    return "\n".join(_toml_lines()) + "\n"


def page() -> str:
    """Return the page of the documentation."""
    return "\n".join(_page_lines()) + "\n"


@functools.cache
def lines() -> Mapping[str, int]:
    """Return the line of each `section.key` (and each `section`) in the installed sample.

    Empty if the program was installed without its sample; mistakes are then reported without that
    line.
    """
    try:
        text = (_dist.folder("config") / _FILE).read_text(encoding="utf-8")
    except OSError:
        return {}
    found: dict[str, int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.fullmatch(r"\[(\w+)]", line):
            section = header[1]
            found[section] = number
        elif line.startswith(f"#[{model.SCOPE}."):
            section = model.SCOPE
            found.setdefault(section, number)
        elif assigned := re.match(r"#?(\w+) = ", line):
            found[f"{section}.{assigned[1]}"] = number
    return found


def _toml_lines() -> Iterator[str]:
    yield from _comment(_TOML_HEAD)
    for section in document.sections().values():
        yield ""
        yield from _comment(_sentence(section.text))
        yield f"[{section.name}]"
        for key in section.keys.values():
            yield ""
            yield from _comment(key.text)
            yield f"{'' if key.is_required else '#'}{key.name} = {_toml_value(key.shown)}"
        if section.model is Limits:
            yield ""
            yield from _comment(_sentence(document.scope_text()))
            yield _EXAMPLE_SCOPES


def _comment(text: str) -> Iterator[str]:
    for index, paragraph in enumerate(text.split("\n\n")):
        if index:
            yield "#"
        yield from (f"# {line}" for line in _wrapped(paragraph))


def _paragraph(text: str) -> str:
    return "\n".join(_wrapped(_sentence(text)))


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(" ".join(text.split()), width=100, break_on_hyphens=False)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def _page_lines() -> Iterator[str]:
    yield _PAGE_HEAD.rstrip()
    for section in document.sections().values():
        yield ""
        yield f"## `[{section.name}]`"
        yield ""
        yield _paragraph(section.text)
        yield ""
        yield "| key | default | meaning |"
        yield "|---|---|---|"
        for key in section.keys.values():
            known = "" if key.default is None else f"`{_toml_value(key.default)}`"
            default = "required" if key.is_required else known
            yield f"| `{key.name}` | {default} | {key.text.replace('|', chr(92) + '|')} |"
        if section.model is Limits:
            yield from ("", _PAGE_WINDOWS, "", f'## `[{model.SCOPE}."…"]`', "", _paragraph(document.scope_text()), "")
            yield from ("```toml", _EXAMPLE_SCOPES.replace("#", ""), "```", "", _PAGE_SCOPES, "", _SHOWN_EFFECTIVE)


def _toml_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int() | float():
            return repr(value)
        case tuple():
            return f"[{', '.join(_toml_value(each) for each in value)}]"
        case str() | Path():
            return json.dumps(str(value), ensure_ascii=False)
        case _:
            raise TypeError(f"no TOML form for {value!r}")


if __name__ == "__main__":
    sys.stdout.write({"toml": toml, "page": page}[sys.argv[1]]())
