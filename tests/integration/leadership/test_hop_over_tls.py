"""The hop from a standby to a leader with a certificate: taken where that proves whom it reaches, else refused as `no-leader`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.leadership.conftest import Site
from tests.support import authority


async def test_a_question_goes_to_a_leader_whose_certificate_is_trusted(site: Site, tmp_path: Path) -> None:
    pair = authority.made(tmp_path, "hub")
    await site.leader("one", pair=pair)
    standby = await site.standby("two", ca_file=pair.certificate)
    assert (await standby.ask("anna")).status == 201


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ("no-authority", "its certificate is not accepted: self-signed certificate"),
        ("another-authority", "its certificate is not accepted"),
        ("another-name", "certificate is not valid for"),
        ("expired", "certificate has expired"),
    ],
)
async def test_a_leader_whose_certificate_proves_nothing_is_not_asked(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], wrong: str, why: str
) -> None:
    pair = authority.made(tmp_path, "hub", days=-1 if wrong == "expired" else 90)
    trusted = authority.made(tmp_path, "other").certificate if wrong == "another-authority" else pair.certificate
    await site.leader("one", pair=pair, host="localhost" if wrong == "another-name" else "127.0.0.1")
    standby = await site.standby("two", ca_file=None if wrong == "no-authority" else trusted)
    answer = await standby.ask("anna")
    assert (answer.status, "no-leader" in answer.json()["msg"]) == (409, True)
    assert why not in answer.json()["msg"], "how the coordinators reach one another is no business of a node"
    [line] = [line for line in capsys.readouterr().out.splitlines() if "forward.failed" in line]
    assert why in line
    assert site.content.records.leases == {}
