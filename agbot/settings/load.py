"""Reads the settings from a file and the environment.

The result is `Settings`, or every mistake at once.

The environment overrides the file: AGBOT_<SECTION>_<KEY> for any key, and the variables that Open
Horizon's own tools read. An unknown key, a wrong type and a value out of range are mistakes; with a
mistake there are no settings at all.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from agbot.rules.nearest import nearest
from agbot.settings import convert, document, globs, misplaced, model, not_toml, places
from agbot.settings.consistency import mismatches
from agbot.settings.draft import Draft
from agbot.settings.problems import Origin, Problem, SettingsError
from agbot.settings.rule_consistency import Mismatch
from agbot.settings.secret_files import Secrets, read_secrets

_A_FILE: Final = "the path of a settings file, such as the one that `agbot install-units` writes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """Valid settings. `warnings` name what works but is probably not intended."""

    settings: model.Settings
    secrets: Secrets
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The result of reading: with a mistake there are no settings."""

    loaded: Loaded | None
    mistakes: tuple[Problem, ...]
    warnings: tuple[Problem, ...]
    lacking: tuple[str, ...] = ()
    """The keys because of which a daemon would not start here, and may as a service."""
    is_unreadable: bool = False
    """The file could not be read."""


def load(path: Path | None, environ: Mapping[str, str]) -> Loaded:
    """Read the settings; without a file from defaults and environment.

    Raises:
        SettingsError: with every mistake there is.
    """
    reading = read(path, environ)
    if reading.loaded is None:
        raise SettingsError(reading.mistakes)
    return reading.loaded


def read(
    path: Path | None,
    environ: Mapping[str, str],
    *,
    may_lack_secrets: bool = False,
    beside: Callable[[model.Settings], Iterable[Mismatch]] = lambda _: (),
) -> Reading:
    """Read the settings and return every mistake and warning.

    With `may_lack_secrets`, a secret that systemd will provide or that this user may not read is a
    warning. `beside` finds what else does not fit, such as the state of the machine.
    """
    draft = Draft(file=str(path or ""))
    if path is not None:
        text = _text_of(path, draft)
        if text is not None:
            _read_text(path, text, draft)
        # nothing could be read: missing keys are not mistakes of their own
        if draft.mistakes and not draft.origins:
            mistakes = tuple(draft.mistakes)
            return Reading(loaded=None, mistakes=mistakes, warnings=(), is_unreadable=text is None)
    _read_environment(environ, draft)
    draft.check_each()
    settings = _build(draft)
    for found in (*mismatches(settings), *beside(settings)):
        # an invalid value was replaced by its default here, and would be compared in its place
        if draft.is_wrong(found.key) or (found.other and draft.is_wrong(found.other)):
            continue
        if found.problem:
            draft.note(found.key, found.problem, found.expected, is_warning=found.is_warning or found.lacks)
        if found.lacks:
            draft.lacking.append(found.key)
    # an administrator checks a file before the daemon has its credentials
    secrets = read_secrets(settings, environ, path.parent if path else None, draft, may_lack=may_lack_secrets)
    mistakes = tuple(sorted(draft.mistakes, key=lambda each: (each.line is None, each.line or 0)))
    warnings = tuple(draft.warnings)
    loaded = None if mistakes else Loaded(settings=settings, secrets=secrets, warnings=warnings)
    return Reading(loaded=loaded, mistakes=mistakes, warnings=warnings, lacking=tuple(draft.lacking))


def _text_of(path: Path, draft: Draft) -> str | None:
    """Return the text of the file; None with a mistake if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except OSError as error:
        draft.mistakes.append(
            Problem(
                key="",
                file=str(path),
                problem=f"the file cannot be read: {error.strerror}",
                expected="a file that this user may read, or sudo" if isinstance(error, PermissionError) else _A_FILE,
            )
        )
    except UnicodeDecodeError:
        draft.mistakes.append(Problem(key="", file=str(path), problem="the file is not UTF-8 text"))
    return None


def _read_text(path: Path, text: str, draft: Draft) -> None:
    try:
        parsed = tomllib.loads(text)
    except not_toml.ERRORS as error:
        draft.mistakes.append(not_toml.problem(path, text, error))
        return
    lines = places.lines(text)
    for section, content in parsed.items():
        origin = Origin(file=str(path), table=section, line=lines.get(section))
        draft.origins[section] = origin
        if section in (*document.sections(), model.SCOPE):
            _read_section(section, content, origin, lines, draft)
            continue
        stray = None if isinstance(content, dict | list) else misplaced.above_all(section)
        if stray is not None:
            problem, expected, meant = stray
            draft.note(section, problem, expected, meant=meant)
            continue
        known = (*document.sections(), model.SCOPE)
        meant = nearest(section, known, like=misplaced.LIKE)
        draft.note(section, _unknown("section", section, known), meant=meant)
        if meant not in parsed and isinstance(content, dict) and _fits(meant, content):
            # One mistake, not one for each key that is missed now; and the keys are checked.
            _read_section(meant, content, replace(origin, table=meant), places.renamed(lines, section, meant), draft)


def _fits(section: str, content: Mapping[str, object]) -> bool:
    """Whether a table has keys of this section, so that no other one is meant."""
    return section == model.SCOPE or (
        section != "" and not content.keys().isdisjoint(document.sections()[section].keys)
    )


def _read_section(section: str, content: object, origin: Origin, lines: Mapping[str, int], draft: Draft) -> None:
    if section == model.SCOPE:
        _read_scopes(content, origin, lines, draft)
    elif isinstance(content, dict):
        _read_table(section, content, origin, lines, draft)
    elif isinstance(content, list):
        draft.note(section, f"it is a list of tables, [[{section}]]", f"[{section}], once")
    else:
        draft.note(section, "it is a value, not a section", f"[{section}] on a separate line")


def _read_scopes(content: object, origin: Origin, lines: Mapping[str, int], draft: Draft) -> None:
    if not isinstance(content, dict):
        draft.note(model.SCOPE, "it names no organisation or group", globs.SHAPE)
        return
    for pattern, keys in content.items():
        table = places.dotted(model.SCOPE, pattern)
        header = Origin(file=origin.file, table=table, line=lines.get(table, origin.line))
        draft.origins[table], draft.documented[table] = header, model.SCOPE
        if not isinstance(keys, dict):
            draft.note(table, "it is a value, not a section", globs.SHAPE)
            continue
        _read_table("rules", keys, header, lines, draft)
        wrong = globs.wrong(pattern)
        if wrong:
            draft.note(table, wrong, globs.SHAPE)
            continue
        draft.scopes[pattern] = table
        if not keys:
            draft.note(table, "it changes nothing", "keys of [rules]", is_warning=True)


def _read_table(
    section: str, content: Mapping[str, object], header: Origin, lines: Mapping[str, int], draft: Draft
) -> None:
    """Read one table of the file; its keys are those of `section`."""
    keys = document.sections()[section].keys
    for name, value in content.items():
        key = f"{header.table}.{places.dotted(name)}"
        draft.origins[key] = replace(header, line=lines.get(key, header.line))
        draft.documented[key] = f"{section}.{name}"
        # before the unknown keys: the present name may not be near the former one
        moved_to = document.MOVED.get(f"{section}.{name}")
        if moved_to is not None:
            draft.note(key, *_moved(moved_to), meant=moved_to)
            continue
        stray = misplaced.elsewhere(section, name) if name not in keys and header.table == section else None
        if stray is not None:
            problem, expected, meant = stray
            draft.note(key, problem, expected, meant=meant)
            continue
        if name not in keys:
            # [scope.my.org] is a table `org` in a scope `my`
            is_split = header.table != section and isinstance(value, dict)
            expected = 'the whole name in quotes if it contains a dot, such as [scope."my.org"]' if is_split else ""
            meant = f"{section}.{nearest(name, keys, like=misplaced.LIKE)}"
            draft.note(key, _unknown("key", name, tuple(keys)), expected, meant=meant)
            continue
        try:
            draft.values[key] = convert.from_toml(value, keys[name].kind, Path(header.file).parent)
        except convert.WrongTypeError as error:
            draft.note(key, str(error), convert.expected(keys[name].kind))


def _moved(to: str) -> tuple[str, str]:
    section, _, name = to.partition(".")
    return f"the key has moved to [{section}] {name}", f"{name} in a section [{section}]"


def _unknown(noun: str, name: str, known: tuple[str, ...]) -> str:
    near = nearest(name, known, like=misplaced.LIKE)
    return f'there is no {noun} "{name}"; did you mean "{near}"?' if near else f'there is no {noun} "{name}"'


def _read_environment(environ: Mapping[str, str], draft: Draft) -> None:
    known: set[str] = set()
    for section in document.sections().values():
        for key in section.keys.values():
            known.update(key.variables)
            variable = next((each for each in key.variables if environ.get(each)), None)
            if variable is None:
                continue
            draft.origins[key.path] = Origin(variable=variable)
            # it overrides the file, and with it a mistake there
            draft.mistakes = [each for each in draft.mistakes if each.key != key.path]
            try:
                draft.values[key.path] = convert.from_text(environ[variable], key.kind, key.separator)
            except convert.WrongTypeError as error:
                draft.note(key.path, str(error), convert.expected(key.kind))
    for old, new in document.MOVED.items():
        variable = document.variable_of(old)
        if environ.get(variable):
            known.add(variable)
            draft.origins[old] = Origin(variable=variable)
            draft.note(old, f"the variable is called {document.variable_of(new)} now", "the new name", meant=new)
    for variable, section_name in _of_a_section(environ):
        if variable not in known:
            draft.warnings.append(
                Problem(
                    key=section_name,
                    variable=variable,
                    problem=_unknown("setting", variable, tuple(sorted(known))) + "; ignored",
                )
            )


def _of_a_section(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Find variables that look like settings."""
    # only a warning follows: an orchestrator sets such names too (`AGBOT_STORE_PORT` for a service)
    for variable in sorted(environ):
        for section in document.sections():
            if variable.startswith(f"AGBOT_{section.upper()}_"):
                yield variable, section


def _build(draft: Draft) -> model.Settings:
    """Build the model from the valid values.

    An invalid one leaves the default, so that the rest can be checked.
    """
    parts: dict[str, object] = {
        name: section.model(**draft.good(name, name)) for name, section in document.sections().items()
    }
    scopes = tuple(
        model.Scope(pattern=pattern, values=draft.good(table, "rules")) for pattern, table in draft.scopes.items()
    )
    return model.Settings(**parts, scopes=scopes, origins=draft.origins)  # type: ignore[arg-type]  # every part is of its section's class
