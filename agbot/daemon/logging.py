"""The log: one line on standard error per event, with its data in keys, and no secrets.

A line is JSON unless a person reads it: on a terminal, and under journald (it sets JOURNAL_STREAM),
where it is a sentence with its data after it. Under journald each line begins with `<N>`, the
priority that journald understands. Lines of libraries are treated in the same way. A name from
outside is text in every format: none of its control characters reaches a terminal.
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

from agbot import log
from agbot.events.process import LogDropped
from agbot.events.shortening import MAX_FIELDS_BYTES, MAX_SENTENCE_BYTES, shortened
from agbot.foreign_text import escaped, escaped_json, escaped_lines
from agbot.settings.running import LogSettings

_Form = Literal["json", "console", "journal"]
_HIDDEN: Final = "[hidden]"

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
_EXPLAINING: Final = frozenset({"why", "reason", "error", "text", "sentence", "problem"})
"""Fields that a sentence repeats."""
_PLAIN_WORD: Final = re.compile(r"[^\s\"=\[\]]+")
_SENTENCE: Final = "_sentence"
_INDENT: Final = "    "
# a user of the Exchange is org/name, one of a broker may be missing, and a password may have an @
_IN_A_URL: Final = re.compile(r"(?<=://)[^/\s@:]*(?:/[^/\s@:]+)?:[^/\s]+(?=@)")
_IN_A_HEADER: Final = re.compile(r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{4,}")


def set_up(settings: LogSettings, environ: Mapping[str, str] | None = None, stream: TextIO | None = None) -> None:
    """Configure logging, also of libraries. It may be called again with changed settings."""
    out = stream or sys.stderr
    environment = os.environ if environ is None else environ
    under_journald = _is_journal(environment, out)
    form = form_of(settings, out, under_journald=under_journald)
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
    # Access logs are the reverse proxy's task; asyncio's debug lines are of no use to operators.
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


def report_dropped(lines: int) -> None:
    """Log that so many lines are missing before this one."""
    log.write(LogDropped(lines=lines))


def form_of(settings: LogSettings, stream: TextIO, *, under_journald: bool) -> _Form:
    """Return the format for this stream."""
    match settings.format:
        case "json":
            return "json"
        case "console":
            return "console"
        case "journal":
            return "journal"
        case _ if stream.isatty():
            return "console"
        case _:
            return "journal" if under_journald else "json"


def _is_journal(environ: Mapping[str, str], stream: TextIO) -> bool:
    """Whether the stream goes to journald, by JOURNAL_STREAM (systemd.exec(5))."""
    named = environ.get("JOURNAL_STREAM", "")
    with contextlib.suppress(OSError, ValueError):
        status = os.fstat(stream.fileno())
        return named == f"{status.st_dev}:{status.st_ino}"
    return False


def _hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide what looks like a secret: a last resort, for no secret should be logged at all."""
    return {key: _without_secrets(key, value) for key, value in event.items()}


def _without_secrets(key: str, value: object) -> object:
    if _names_a_secret(key, value):
        return _HIDDEN
    if isinstance(value, Mapping):
        return {each: _without_secrets(str(each), inner) for each, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_without_secrets("", inner) for inner in value]
    if isinstance(value, str):
        # nearly no text has what the expressions look for
        shown = _IN_A_URL.sub(_HIDDEN, value) if "://" in value else value
        return _IN_A_HEADER.sub(rf"\1 {_HIDDEN}", shown) if "Basic" in shown or "Bearer" in shown else shown
    return value


def _names_a_secret(key: str, value: object) -> bool:
    words = _words_of(key)
    if words & _SECRET_WORDS:
        return True
    return _LEASE_TOKEN in words and not isinstance(value, int | None)


@functools.lru_cache(maxsize=1024)
def _words_of(key: str) -> frozenset[str]:
    """Split a key into its words. It is cached, because the same keys occur in most lines."""
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
    """Make an event of a library's line, with its text as data."""
    record: logging.LogRecord = event["_record"]
    text = shortened(str(event["event"]), MAX_FIELDS_BYTES)
    return {**event, "event": "library.logged", "logger": record.name, "text": text}


def _renderers(form: _Form, *, with_priority: bool, with_colours: bool) -> list[Processor]:
    if form == "console":
        return [
            _hide_secrets,
            _harmless,
            structlog.dev.ConsoleRenderer(
                colors=with_colours, pad_event_to=20, exception_formatter=_harmless_traceback
            ),
        ]
    if form == "journal":
        traceback = structlog.processors.ExceptionRenderer(_traceback)
        return [_say, traceback, _hide_secrets, _SentenceAndFields(with_priority=with_priority)]
    # Local variables stay out of tracebacks, here and above: they hold the nodes' tokens.
    tracebacks = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    return [tracebacks, _hide_secrets, _prioritized_json if with_priority else _json]


class _SentenceAndFields:
    """A line for people: the sentence, and after it the name and the data.

    journald keeps the time of each line itself, and takes a priority before each.
    """

    def __init__(self, *, with_priority: bool) -> None:
        self._with_priority = with_priority

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        name, level, at = event.pop("event"), event.pop("level", ""), event.pop("timestamp", "")
        sentence = escaped(shortened(event.pop(_SENTENCE), MAX_SENTENCE_BYTES))
        behind = [event.pop(key, "") for key in ("exception", "stack")]
        fields = (f" {escaped(key)}={_bare(value)}" for key, value in event.items() if not _is_in(sentence, key, value))
        lines = [f"{sentence} [{name}{''.join(fields)}]"]
        lines += (f"{_INDENT}{line}" for text in behind for line in escaped_lines(text).splitlines())
        before = f"<{_PRIORITIES.get(level, 6)}>" if self._with_priority else f"{at} "
        return "\n".join(f"{before}{line}" for line in lines)


def _say(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the sentence, before secrets are hidden. A library's line is its own sentence."""
    name = event["event"]
    return {**event, _SENTENCE: name.sentence if isinstance(name, log.Name) else str(event.get("text", name))}


def _is_in(sentence: str, key: str, value: object) -> bool:
    """Whether a text that explains the event is in its sentence already."""
    return key in _EXPLAINING and isinstance(value, str) and value in sentence


def _bare(value: object) -> str:
    """Write a value as logfmt does: a plain word without quotes."""
    if isinstance(value, str) and value.isprintable() and _PLAIN_WORD.fullmatch(value):
        return value
    return escaped_json(json.dumps(value, default=_plain, ensure_ascii=False))


def _harmless(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Escape control characters.

    Values that are not strings are written with `repr`, which escapes too.
    """
    return {
        escaped(key): (escaped_lines if key == "stack" else escaped)(value) if isinstance(value, str) else value
        for key, value in event.items()
    }


def _harmless_traceback(out: TextIO, error: ExcInfo) -> None:
    # Indented: a message of two lines must not look like a line of the log.
    out.write(textwrap.indent(escaped_lines(_traceback(error)), _INDENT))


def _traceback(exc_info: ExcInfo) -> str:
    written = io.StringIO()
    structlog.dev.plain_traceback(written, exc_info)
    return written.getvalue()


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
