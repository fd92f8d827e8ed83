"""Reading the settings: an upstream that is the coordinator itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from agbot.settings import load


@pytest.mark.parametrize(
    ("listen", "upstream", "is_ours"),
    [
        ("127.0.0.1:8083", "http://127.0.0.1:8083", True),
        ("127.0.0.1:443", "https://localhost/", True),
        ("0.0.0.0:3111", "https://127.0.0.1:3111", True),
        ("10.0.0.1:3111", "https://10.0.0.1:3111", True),
        ("0.0.0.0:8083", "https://agbot.example.com:8083", False),  # another machine, with anax's default port
    ],
)
def test_an_upstream_that_is_our_own_gateway_is_a_mistake(
    tmp_path: Path, listen: str, upstream: str, is_ours: bool
) -> None:
    config = tmp_path / "agbot.toml"
    config.write_text(f'[gateway]\nlisten = "{listen}"\n[agbot]\nsecure_api = "{upstream}"\n', encoding="utf-8")

    assert [each.key for each in load.read(config, {}).mistakes if "ask itself" in each.problem] == [
        "agbot.secure_api"
    ] * is_ours
