"""The warnings of a settings file besides those that every file without listeners and agbot has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from agbot.settings.problems import Problem

OF_A_SHORT_FILE: Final = {"agbot.secure_api", "gateway.certificate_file"}
"""Recommended in each installation, and left out where a test is about something else."""


def warned(warnings: Iterable[Problem]) -> list[Problem]:
    """Leave out what a short file is warned of."""
    return [each for each in warnings if each.key not in OF_A_SHORT_FILE]
