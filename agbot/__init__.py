"""Upgrade coordinator for Open Horizon HA node groups: one member of a group upgrades at a time.

Data flows one way round: Exchange -> fleet picture -> rules -> store -> answer, log, event.
`docs/architecture.md` shows the way of one request through the files; the import contracts in
`pyproject.toml` hold the layers.
"""

from __future__ import annotations

from typing import Final

__all__ = ["__version__"]

__version__: Final = "0.1.0"
