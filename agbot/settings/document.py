"""The documentation of every setting, from the model: classes, fields, and their texts.

The sample, `docs/settings.md` and `agbot check-config` take their texts from here, so that they
cannot differ.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Any

from agbot.rules.window import Window
from agbot.settings import checks, model

HZN_VARIABLES: Mapping[str, str] = types.MappingProxyType(
    {
        "HZN_EXCHANGE_URL": "exchange.url",
        "HZN_MGMT_HUB_CERT_PATH": "exchange.ca_file",
    }
)
"""The variables that Open Horizon's own tools read, and the key that each one sets."""

MOVED: Mapping[str, str] = types.MappingProxyType(
    {
        "gateway.upstream": "agbot.secure_api",
        "gateway.upstream_ca_file": "agbot.secure_api_ca_file",
        "exchange.served_by": "agbot.identity",
    }
)
"""Keys of earlier versions and their present names. One of them is a mistake: ignoring it would
silently change what the daemon does."""


def variable_of(path: str) -> str:
    """Return the environment variable of a key."""
    return "AGBOT_" + path.replace(".", "_").upper()


@dataclass(frozen=True, kw_only=True)
class Key:
    """One setting with its documentation."""

    section: str
    name: str
    kind: object
    """The type, such as `float` or `Path | None`."""
    annotations: tuple[object, ...]
    default: object
    text: str

    @property
    def path(self) -> str:
        """`section.key`, as in every message."""
        return f"{self.section}.{self.name}"

    @property
    def is_required(self) -> bool:
        """Whether it has to be set."""
        return self.text.endswith("Required.")

    @property
    def separator(self) -> str:
        """The separator of a list in the environment; a window contains commas."""
        return ";" if self.kind == tuple[Window, ...] else ","

    @functools.cached_property
    def checks(self) -> tuple[checks.Check, ...]:
        """The checks of a value, beyond its type."""
        return checks.of_annotations(self.annotations)

    @property
    def shown(self) -> object:
        """The value in the sample: an example where there is no default."""
        return next((each.value for each in self.annotations if isinstance(each, checks.Example)), self.default)

    @property
    def variables(self) -> tuple[str, ...]:
        """The environment variables that set it, in order of precedence."""
        return (variable_of(self.path), *(variable for variable, path in HZN_VARIABLES.items() if path == self.path))


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One table of the file."""

    name: str
    model: type
    text: str
    keys: Mapping[str, Key]


@functools.cache
def sections() -> Mapping[str, Section]:
    """Return every section by name, in the order of the model."""
    found = {}
    for part in fields(model.Settings):
        section = typing.get_type_hints(model.Settings)[part.name]
        if not (isinstance(section, type) and is_dataclass(section)):
            continue
        hints, texts = typing.get_type_hints(section, include_extras=True), _texts(section)
        keys = {each.name: _key(part.name, each, hints[each.name], texts[each.name]) for each in fields(section)}
        found[part.name] = Section(
            name=part.name, model=section, text=_class_text(section), keys=types.MappingProxyType(keys)
        )
    return types.MappingProxyType(found)


def _key(section: str, field: Field[Any], hint: object, text: str) -> Key:
    kind, *annotations = typing.get_args(hint) if typing.get_origin(hint) is typing.Annotated else (hint,)
    default = field.default if field.default is not MISSING else None
    return Key(section=section, name=field.name, kind=kind, annotations=tuple(annotations), default=default, text=text)


def key(path: str) -> Key | None:
    """Return the documentation of `section.key`, None when there is no such key."""
    section, _, name = path.partition(".")
    return sections()[section].keys.get(name) if section in sections() else None


def scope_text() -> str:
    """Return the documentation of scopes, which have the keys of `[rules]`."""
    return _class_text(model.Scope)


def _class_text(owner: type) -> str:
    return re.sub(r"^`\[.*?]`: ", "", _one_line(inspect.getdoc(owner) or ""))


def _texts(owner: type) -> dict[str, str]:
    """Collect the string that follows each annotated field of a class."""
    return _field_texts(_classes(owner.__module__)[owner.__name__])


@functools.cache
def _classes(module: str) -> Mapping[str, ast.ClassDef]:
    """Parse a module once."""
    # `inspect.getsource` of a class does it for each class again: 20 ms of every start
    source = inspect.getsource(sys.modules[module])
    return {each.name: each for each in ast.parse(source).body if isinstance(each, ast.ClassDef)}


def _field_texts(owner: ast.ClassDef) -> dict[str, str]:
    found = {}
    for field, after in zip(owner.body, owner.body[1:], strict=False):
        match field, after:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[name] = _one_line(text)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())
