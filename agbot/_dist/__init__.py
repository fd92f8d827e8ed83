"""The files that are shipped with the code: systemd units and the documented sample configuration.

In a checkout they are beside the package (`systemd/`, `config/`); in a wheel they are inside this
package (see `force-include` in `pyproject.toml`). Only this module distinguishes the two. It
imports nothing of the product.
"""

from __future__ import annotations

from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

__all__ = ["folder"]


def folder(name: Literal["config", "systemd"]) -> Traversable:
    """Return the folder of shipped files with this name.

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
