"""What nodes and agbots report in a recorded service upgrade is shown by the simulated Exchange as it was recorded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agbot.sim.exchange import SimExchange, seed
from tests.sim.plant import IBM_AGBOT, plant
from tests.sim.recorded import FOLDER, comparable

_SHOWN = ("nodes/s3/status", "nodes/s3/agreements", "agbots/agbot1/agreements")


def _bodies(what: str) -> list[dict[str, Any]]:
    rows = map(json.loads, (FOLDER / "service-upgrade-sequence.jsonl").read_text().splitlines())
    return [row["body"] for row in rows if row["what"] == what]


def _report(exchange: SimExchange, what: str, body: dict[str, Any]) -> None:
    """Write what the recorded reply shows, as the node or the agbot."""
    owner, name, below = what.split("/")
    path = f"/orgs/IBM/agbots/{name}" if owner == "agbots" else f"/orgs/o1/nodes/{name}"
    caller = IBM_AGBOT if owner == "agbots" else f"o1/{name}"
    if below == "status":
        given = {name: body[name] for name in ("connectivity", "services")}
        seed.send(exchange, "PUT", f"{path}/status", given, caller=caller)
    for agreement, shown in body.items() if below == "agreements" else ():
        kept = {name: value for name, value in shown.items() if name in ("services", "service", "state")}
        agreed = {"agreementService": shown["agrService"]} if "agrService" in shown else {}
        seed.send(exchange, "PUT", f"{path}/agreements/{agreement}", {**kept, **agreed}, caller=caller)


@pytest.mark.parametrize("what", _SHOWN)
def test_a_report_is_shown_as_it_was_recorded(what: str) -> None:
    for body in _bodies(what):
        exchange = plant()
        seed.node(exchange, "o1", "s3")
        exchange.world.stamps.short_every = 1 << 20
        _report(exchange, what, body)
        org = "IBM" if what.startswith("agbots/") else "o1"
        reply = exchange.call("GET", f"/orgs/{org}/{what}", caller=IBM_AGBOT).json()
        assert comparable(reply["agreements"] if what.endswith("agreements") else reply) == comparable(body)
