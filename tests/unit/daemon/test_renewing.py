"""What a reload finds renewed: contents count, and what cannot be loaded is reported and tried again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from agbot.daemon import renewing
from agbot.daemon.renewing import Renewable, Renewals
from tests.support.authority import Pair, made
from tests.support.clocks import HandClock


class Loaded:
    """A part that loads files, or says that it cannot."""

    def __init__(self) -> None:
        self.times = 0
        self.breaks = False

    def load(self) -> None:
        if self.breaks:
            raise OSError("no pair")
        self.times += 1


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return made(tmp_path, "one")


def renewals(pair: Pair, part: Loaded) -> Renewals:
    item = Renewable(use="gateway", files=(pair.certificate, pair.key), load=part.load)
    return Renewals([item, Renewable(use="mqtt", files=(), load=part.load)], HandClock())


def test_other_contents_are_loaded_once_and_another_time_alone_is_no_renewal(pair: Pair, tmp_path: Path) -> None:
    part = Loaded()
    found = renewals(pair, part)
    os.utime(pair.certificate, (1, 1))
    assert found.renew() == []
    made(tmp_path / "new", "other").put_at(pair.certificate, pair.key)
    assert found.renew() == ["gateway"]
    assert found.renew() == []
    assert part.times == 1


def test_what_cannot_be_loaded_is_reported_and_tried_at_the_next_reload(pair: Pair, tmp_path: Path) -> None:
    part = Loaded()
    found = renewals(pair, part)
    before = found.days_left()
    made(tmp_path / "new", "other", days=3).put_at(pair.certificate, pair.key)
    part.breaks = True
    with capture_logs() as log:
        assert found.renew() == []
        assert found.renew() == []
    assert [(line["event"], line["use"], line["error"]) for line in log] == [
        ("certificate.refused", "gateway", "no pair")
    ] * 2
    assert found.days_left() == before, "the days are those of what is in use"
    part.breaks = False
    assert found.renew() == ["gateway"]
    assert found.days_left()["gateway"] < before["gateway"]


def test_a_scrape_parses_no_certificate(pair: Pair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The authorities of the system are more than a hundred."""
    found = renewals(pair, Loaded())
    before = found.days_left()
    made(tmp_path / "new", "other", days=3).put_at(pair.certificate, pair.key)
    found.renew()
    monkeypatch.setattr(renewing, "first_end", None)

    assert found.days_left()["gateway"] < before["gateway"]


def test_a_link_that_leads_elsewhere_is_a_renewal(pair: Pair, tmp_path: Path) -> None:
    """As certbot's `live` folder does it."""
    part, other = Loaded(), made(tmp_path / "new", "other")
    live = tmp_path / "live.pem"
    live.symlink_to(pair.certificate)
    found = renewals(Pair(live, pair.key), part)
    live.unlink()
    live.symlink_to(other.certificate)
    assert found.renew() == ["gateway"]
