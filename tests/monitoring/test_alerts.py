"""The alerts and the dashboard: checked by promtool, and held against the metrics and the runbook."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from agbot import _dist
from tests.support.examples import thorough

ROOT = Path(__file__).parents[2]
RULES = ROOT / "config" / "prometheus-rules.yaml"
DASHBOARD = ROOT / "config" / "grafana-dashboard.json"
ALERTS = dict(
    re.findall(r"- alert: (\w+)\n +expr: (.*?)\n +(?:for|labels):", RULES.read_text(encoding="utf-8"), flags=re.DOTALL)
)
"""Name -> expression."""
NOT_OURS = {"process_resident_memory_bytes"}
"""Metrics of Prometheus's own client, which the page of metrics does not list one by one."""


def promtool(*arguments: str, folder: Path) -> str:
    """Run promtool; without it a test is skipped."""
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is missing: install the Debian package prometheus")
    done = subprocess.run([found, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documented_metrics() -> set[str]:
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    return set(re.findall(r"^\| `(agbot_\w+)`", text, flags=re.MULTILINE))


def metrics_of(expression: str) -> set[str]:
    """Return the metrics that an expression reads, a histogram by its own name."""
    names = set(re.findall(r"\b((?:agbot|process)_\w+)", expression))
    return {re.sub(r"_(bucket|count|sum)$", "", name) for name in names}


def expressions(part: object) -> Iterator[str]:
    """Yield all expressions of a dashboard."""
    if isinstance(part, dict):
        yield from (value for key, value in part.items() if key in {"expr", "query"} and isinstance(value, str))
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            yield from expressions(each)


def test_prometheus_accepts_the_rules() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", str(RULES), folder=ROOT)


@thorough
def test_each_alert_fires_on_its_fault_and_none_on_a_healthy_coordinator(tmp_path: Path) -> None:
    shutil.copy(RULES, tmp_path)
    shutil.copy(Path(__file__).with_name("prometheus-rules-test.yaml"), tmp_path)

    promtool("test", "rules", "prometheus-rules-test.yaml", folder=tmp_path)


def test_the_test_of_the_rules_names_every_alert() -> None:
    played = Path(__file__).with_name("prometheus-rules-test.yaml").read_text(encoding="utf-8")

    assert re.findall(r'alertname="(\w+)"', played) == list(ALERTS)


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_reads_only_metrics_that_exist(alert: str) -> None:
    read = metrics_of(ALERTS[alert])

    assert read - documented_metrics() == set()
    assert read or "up{" in ALERTS[alert]


def test_the_runbook_has_a_section_for_each_alert_in_the_same_order() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text(encoding="utf-8")
    sections = re.split(r"^## ", text, flags=re.MULTILINE)[1:]

    assert [section.split("\n", 1)[0] for section in sections] == list(ALERTS)
    assert [section for section in sections if not re.search(r"^- \*\*Do:\*\* ", section, flags=re.MULTILINE)] == []


def test_the_dashboard_reads_only_metrics_that_exist() -> None:
    read = set().union(*map(metrics_of, expressions(json.loads(DASHBOARD.read_text(encoding="utf-8")))))

    assert read - documented_metrics() - NOT_OURS == set()


def test_every_metric_is_on_the_dashboard_or_in_an_alert() -> None:
    read = set().union(*map(metrics_of, expressions(json.loads(DASHBOARD.read_text(encoding="utf-8")))))
    alerted = set().union(*map(metrics_of, ALERTS.values()))

    assert documented_metrics() - read - alerted == set()


def test_the_installed_package_holds_both() -> None:
    assert {each.name for each in _dist.folder("config").iterdir()} >= {RULES.name, DASHBOARD.name}
