"""A mistyped name is answered with the one that was meant."""

from __future__ import annotations

import pytest

from agbot.rules.nearest import did_you_mean

KNOWN = ("acme", "other", "acme/pumps", "acme/mills", "other/valves", "acme/Süd-1")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("acme/pumsp", "acme/pumps"),
        ("acme/PUMPS", "acme/pumps"),
        ("acme/süd1", "acme/Süd-1"),
        ("acne/pumps", "acme/pumps"),
        ("pumps", "acme/pumps"),
        ("pumsp", "acme/pumps"),
        ("acm", "acme"),
        ("acme/valves", "other/valves"),
    ],
)
def test_the_nearest_name_is_that_of_the_organisation_or_else_the_same_in_another(name: str, meant: str) -> None:
    assert did_you_mean(name, KNOWN) == f" (did you mean {meant}?)"


@pytest.mark.parametrize("name", ["acme/xyz", "", "/", "acme/", "somewhere/else"])
def test_what_resembles_nothing_gets_no_proposal(name: str) -> None:
    assert did_you_mean(name, KNOWN) == ""


def test_among_tens_of_thousands_one_mistake_is_found_in_either_half_of_the_name() -> None:
    many = [f"acme/line-{number:05}-{number % 7}" for number in range(30_000)] + ["acme/boiler-room"]

    assert did_you_mean("acme/boiler-roon", many) == " (did you mean acme/boiler-room?)"
    assert did_you_mean("acme/biler-room", many) == " (did you mean acme/boiler-room?)"
