"""What an agent keeps over a restart, and what it starts next. No time, no tasks."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agbot.sim.agent_state import Entry, Move, Notebook, Word
from tests.sim.gates import EPOCH

_NMP = "up1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("download started", "waiting"),
        ("reset", "waiting"),
        ("ha node waiting", "ha node waiting"),
        ("downloaded", "downloaded"),
        ("initiated", "initiated"),
        ("rollback started", "rollback started"),
        ("successful", "successful"),
    ],
)
def test_a_restart_begins_an_interrupted_download_again_and_keeps_the_rest(before: str, after: str) -> None:
    entry = Entry(nmp=_NMP, version="2.32.0", scheduled_at=EPOCH, word=Word(before))

    assert entry.restart() is (before != after)
    assert entry.word == after


def test_a_restart_downloads_the_latest_again() -> None:
    entry = Entry(nmp=_NMP, version="latest", manifest="IBM/m_latest", scheduled_at=EPOCH, word=Word.HA_WAITING)

    assert entry.restart()
    assert entry.word is Word.WAITING


@pytest.mark.parametrize(
    ("word", "may_start"),
    [
        ("download started", False),
        ("downloaded", False),
        ("initiated", False),
        ("rollback started", True),
        ("failed", True),
        ("successful", True),
    ],
)
def test_no_second_policy_is_started_while_one_is_in_flight(word: str, may_start: bool) -> None:
    first = Entry(nmp="up1", version="2.32.0", scheduled_at=EPOCH, word=Word(word))
    second = Entry(nmp="up2", version="2.33.0", scheduled_at=EPOCH)
    notebook = Notebook({"up1": first, "up2": second})

    assert notebook.moves("g", EPOCH) == ([(Move.DOWNLOAD, second)] if may_start else [])
    assert notebook.moves("g", EPOCH - timedelta(seconds=1)) == []
