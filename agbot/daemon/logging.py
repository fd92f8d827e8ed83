"""The log: one line on standard error per change, `noun.verb` names from `agbot.events.names`, data in keys, no secrets.

Under journald (it sets JOURNAL_STREAM) and wherever nobody watches, a line is JSON; under journald it begins with `<N>`, the priority that
journald understands. On a terminal the same events are written for people. Lines of libraries take the same way and the same shape.
In every form a name from outside is text: no control character of it reaches a terminal.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import re
import sys
import textwrap
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final, Literal, TextIO

import structlog
from structlog.typing import EventDict, ExcInfo, Processor, WrappedLogger

from agbot.foreign_text import escaped, escaped_json, escaped_lines
from agbot.settings.model import LogSettings

Form = Literal["json", "console"]
HIDDEN: Final = "[hidden]"

_LEVELS: Final[Mapping[str, int]] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}
# sd-daemon(3): syslog priorities.
_PRIORITIES: Final[Mapping[str, int]] = {"critical": 2, "error": 3, "exception": 3, "warning": 4, "info": 6, "debug": 7}
_SECRET_WORDS: Final = frozenset(
    {"auth", "authorization", "credential", "credentials", "passwd", "password", "pw", "secret"}
)
_LEASE_TOKEN: Final = "token"  # noqa: S105 - the name of a key: a lease's token is a number and no secret
_IN_A_URL: Final = re.compile(r"(?<=://)[^/\s@:]+(?:/[^/\s@:]+)?:[^/\s@]+(?=@)")
_IN_A_HEADER: Final = re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{4,}")


def set_up(settings: LogSettings, environ: Mapping[str, str] | None = None, stream: TextIO | None = None) -> None:
    """Send everything that is logged from now on, here and in libraries, to one stream in one shape.

    May be called again, with changed settings.
    """
    out = stream or sys.stderr
    environment = os.environ if environ is None else environ
    under_journald = is_journal(environment, out)
    form = form_of(settings, out)
    level = _LEVELS[settings.level]
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*_shared(), _as_library_line],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(form, with_priority=under_journald, with_colours=out.isatty()),
            ],
        )
    )
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level)
    # One line per request is the reverse proxy's business; asyncio's debug lines are nobody's.
    logging.getLogger("aiohttp.access").setLevel(max(level, logging.WARNING))
    logging.getLogger("asyncio").setLevel(max(level, logging.INFO))
    logging.captureWarnings(capture=True)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        # Not cached, so that a logger made at import time follows a reload.
        cache_logger_on_first_use=False,
    )


def tell_dropped(lines: int) -> None:
    """Write that lines are missing before this one."""
    structlog.get_logger().warning("log.dropped", lines=lines)


def form_of(settings: LogSettings, stream: TextIO) -> Form:
    """Decide what `auto` means for this stream."""
    match settings.format:
        case "json":
            return "json"
        case "console":
            return "console"
        case _:
            return "console" if stream.isatty() else "json"


def is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Tell whether the stream leads to journald: JOURNAL_STREAM names its device and inode (systemd.exec(5))."""
    named = environ.get("JOURNAL_STREAM", "")
    with contextlib.suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return named == f"{status.st_dev}:{status.st_ino}"
    return False


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Blank whatever looks like a secret. The last net: nobody should log one in the first place."""
    return {key: _without_secrets(key, value) for key, value in event.items()}


def _without_secrets(key: str, value: object) -> object:
    if _names_a_secret(key, value):
        return HIDDEN
    if isinstance(value, Mapping):
        return {each: _without_secrets(str(each), inner) for each, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets("", inner) for inner in value]
    if isinstance(value, str):
        return _IN_A_HEADER.sub(rf"\1 {HIDDEN}", _IN_A_URL.sub(HIDDEN, value))
    return value


def _names_a_secret(key: str, value: object) -> bool:
    words = _words_of(key)
    if words & _SECRET_WORDS:
        return True
    return _LEASE_TOKEN in words and not isinstance(value, int | None)


@functools.lru_cache(maxsize=1024)
def _words_of(key: str) -> frozenset[str]:
    """Split a key into its words. Keys repeat: a refusal's line has 200 of them, and many members may begin to wait at once."""
    return frozenset(re.split(r"[^a-z0-9]+", key.lower()))


def _shared() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]


def _as_library_line(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Give a library's sentence a name of ours, with the sentence as data."""
    record: logging.LogRecord = event["_record"]
    return {**event, "event": "library.logged", "logger": record.name, "text": event["event"]}


def _renderers(form: Form, *, with_priority: bool, with_colours: bool) -> list[Processor]:
    if form == "console":
        return [
            hide_secrets,
            _for_people,
            _harmless,
            structlog.dev.ConsoleRenderer(
                colors=with_colours, pad_event_to=20, exception_formatter=_harmless_traceback
            ),
        ]
    # Local variables stay out of tracebacks, here and above: they hold the nodes' tokens.
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    return [tracebacks, hide_secrets, _prioritized_json if with_priority else _json]


def _for_people(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Write the reasons of a wait as `code: text`, without the rules' words: those are for programs, and for `agbot explain`."""
    reasons = event.get("reasons")
    if not isinstance(reasons, list) or not all(isinstance(each, Mapping) for each in reasons):
        return event
    shown = "; ".join(f"{each.get('code', '')}: {each.get('text', '')}" for each in reasons)
    return {**{key: value for key, value in event.items() if key != "rules"}, "reasons": shown}


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape what a terminal would obey; what is no string is written as `repr` does, which escapes too."""
    return {
        escaped(key): (escaped_lines if key == "stack" else escaped)(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def _harmless_traceback(out: TextIO, error: ExcInfo) -> None:
    written = io.StringIO()
    structlog.dev.plain_traceback(written, error)
    # Indented: a message of two lines must not look like a line of the log.
    out.write(textwrap.indent(escaped_lines(written.getvalue()), "    "))


def _json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    first = {key: event[key] for key in ("timestamp", "level", "event") if key in event}
    return escaped_json(json.dumps({**first, **event}, default=_plain, ensure_ascii=False))


def _prioritized_json(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return f"<{_PRIORITIES.get(event.get('level', ''), 6)}>{_json(logger, method, event)}"


def _plain(value: Any) -> object:  # noqa: ANN401 - json hands over whatever it cannot write
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return sorted(value, key=str)
        case _:
            return str(value)
