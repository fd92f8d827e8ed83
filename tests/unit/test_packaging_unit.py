"""The systemd unit: what it starts, how it is supervised, and how little it may do."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from agbot import _dist

UNIT = _dist.folder("systemd") / "agbot.service"
MOST_EXPOSURE = 2.0
SUPERVISION = {
    "Type": ["notify"],
    "NotifyAccess": ["main"],
    "WatchdogSec": ["30"],
    "ExecStart": ["/opt/agbot/bin/agbot run --config /etc/agbot/agbot.toml"],
    "ExecReload": ["/bin/kill -HUP $MAINPID"],
    "Restart": ["always"],
    "TimeoutStopSec": ["10"],
    "StateDirectory": ["agbot"],
    "LoadCredential": ["exchange-token:/etc/agbot/exchange-token", "operator-token:/etc/agbot/operator-token"],
}
# systemd 252 scores the unit with these at 1.2; they are compared where systemd-analyze is not
# installed.
HARDENING = {
    "CapabilityBoundingSet": [""],
    "DevicePolicy": ["closed"],
    "DynamicUser": ["yes"],
    "LockPersonality": ["yes"],
    "MemoryDenyWriteExecute": ["yes"],
    "NoNewPrivileges": ["yes"],
    "PrivateDevices": ["yes"],
    "PrivateTmp": ["yes"],
    "PrivateUsers": ["yes"],
    "ProtectClock": ["yes"],
    "ProtectControlGroups": ["yes"],
    "ProtectHome": ["yes"],
    "ProtectHostname": ["yes"],
    "ProtectKernelLogs": ["yes"],
    "ProtectKernelModules": ["yes"],
    "ProtectKernelTunables": ["yes"],
    "ProtectProc": ["invisible"],
    "ProtectSystem": ["strict"],
    "RestrictAddressFamilies": ["AF_INET AF_INET6 AF_UNIX"],
    "RestrictNamespaces": ["yes"],
    "RestrictRealtime": ["yes"],
    "RestrictSUIDSGID": ["yes"],
    "SystemCallArchitectures": ["native"],
    "SystemCallFilter": ["@system-service", "~@privileged @resources"],
    "UMask": ["0077"],
}


def directives() -> dict[str, list[str]]:
    """Read the unit as key -> values, in order."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith(("#", "[")):
            found.setdefault(key, []).append(value)
    return found


def analyzed(verb: str, tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Let systemd judge a copy of the unit that starts something which exists on this machine."""
    text = re.sub(
        r"^ExecStart=\S+", f"ExecStart={sys.executable}", UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE
    )
    copy = tmp_path / "agbot.service"
    copy.write_text(text, encoding="utf-8")
    program = shutil.which("systemd-analyze") or "systemd-analyze"
    return subprocess.run(
        [program, verb, *options, str(copy)], capture_output=True, text=True, check=False, env={"LC_ALL": "C.UTF-8"}
    )


@pytest.mark.parametrize("key", SUPERVISION)
def test_the_unit_is_supervised_as_promised(key: str) -> None:
    assert directives()[key] == SUPERVISION[key]


@pytest.mark.parametrize("key", HARDENING)
def test_the_unit_is_closed_as_far_as_its_work_allows(key: str) -> None:
    assert directives()[key] == HARDENING[key]


def test_no_credential_comes_through_the_environment() -> None:
    """A secret in an environment file would be inherited by every child.

    Systemd hands them over as files.
    """
    unit = directives()

    assert unit["EnvironmentFile"] == ["-/etc/default/agbot"]
    assert set(unit["UnsetEnvironment"][0].split()) == {"HZN_EXCHANGE_USER_AUTH", "HZN_EXCHANGE_NODE_AUTH"}
    assert not [value for value in unit.get("Environment", []) if "AUTH" in value or "TOKEN" in value]


if shutil.which("systemd-analyze"):

    def test_systemd_scores_the_exposure_at_two_at_most(tmp_path: Path) -> None:
        scored = analyzed("security", tmp_path, "--offline=true", "--threshold=20", "--no-pager")
        overall = re.search(r"exposure level for agbot\.service: ([0-9.]+)", scored.stdout)

        assert overall is not None, scored.stderr
        assert float(overall[1]) <= MOST_EXPOSURE
        assert scored.returncode == 0

    def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
        verified = analyzed("verify", tmp_path, "--man=no")

        assert (verified.returncode, verified.stderr) == (0, "")
