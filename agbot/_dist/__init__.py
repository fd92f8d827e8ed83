"""The files that travel with the code but are not code: systemd units and the documented sample configuration.

In a checkout they live beside the package (`systemd/`, `config/`); in a wheel they lie inside this one (see
`force-include` in `pyproject.toml`). Nobody else needs to know which of the two it is. Imports nothing of the product.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

__all__ = ["folder"]


def folder(name: Literal["config", "systemd"]) -> Traversable:
    """Give the folder of shipped files called `name`.

    Raises:
        FileNotFoundError: the installation is incomplete, neither a wheel nor a checkout.
    """
    in_wheel = resources.files(__name__) / name
    if in_wheel.is_dir():
        return in_wheel
    in_checkout = Path(__file__).parents[2] / name
    if in_checkout.is_dir():
        return in_checkout
    raise FileNotFoundError(f"agbot was installed without its {name!r} files")
