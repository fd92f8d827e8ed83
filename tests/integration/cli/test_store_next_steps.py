"""What `agbot store` advises where it has failed: a step that can help."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from agbot.cli.failure import Exit
from agbot.cli.main import main
from agbot.store.sqlite import SqliteStore


def failed(*words: str | Path) -> str:
    result = CliRunner().invoke(main, ["store", *map(str, words)])
    assert result.exit_code != 0
    return " ".join(result.output.split()).partition("next: ")[2]


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """The settings of a store that has been opened once."""

    async def make() -> None:
        for name in ("agbot.db", "other.db"):
            store = SqliteStore(tmp_path / name)
            await store.open()
            await store.close()

    asyncio.run(make())
    path = tmp_path / "agbot.toml"
    path.write_text(
        f'[exchange]\nurl = "http://127.0.0.1:1/v1"\nidentity = "IBM/agbot"\n[store]\npath = "{tmp_path}/agbot.db"\n',
        encoding="utf-8",
    )
    return path


def test_what_trying_again_cannot_help_is_not_advised_again(config: Path) -> None:
    folder, where = config.parent, ("--config", config)
    (folder / "note.db").write_text("this is no database" * 1000, encoding="utf-8")
    restore = ("restore", "--reason", "x", *where)
    advice = {
        (*restore, folder / "none.db"): "name the file of a backup",
        (*restore, folder / "note.db"): "it is damaged or no backup of a lease store: name another one",
        ("backup", folder / "note.db", *where): "name a file that does not, or remove that one",
        ("backup", folder / "nowhere" / "a.db", *where): "create it, or name another one",
        ("move", folder / "none.db", folder / "new.db"): "name the one to move from",
    }
    for words, step in advice.items():
        assert failed(*words).startswith(f"{step} (nothing has changed)"), words
    (folder / "agbot.db").unlink()
    for words in (("backup", folder / "new.db", *where), ("compact", *where), ("restored", "--reason", "x", *where)):
        assert failed(*words).startswith("correct [store] path (nothing has changed)"), words


def test_the_exit_code_tells_a_file_that_cannot_be_read_from_one_that_is_there_already(config: Path) -> None:
    folder, where = config.parent, ("--config", str(config))
    there = str(folder / "other.db")
    for code, words in (
        (Exit.BAD_FILE, ("backup", str(folder / "nowhere" / "a.db"), *where)),
        (Exit.BAD_FILE, ("backup", there, "--config", str(folder / "none.toml"))),
        (Exit.BAD_FILE, ("restore", str(folder / "none.db"), "--reason", "x", *where)),
        (Exit.BAD_FILE, ("move", str(folder / "none.db"), str(folder / "new.db"))),
        (Exit.REFUSED, ("backup", there, *where)),
    ):
        assert CliRunner().invoke(main, ["store", *words]).exit_code == code, words
