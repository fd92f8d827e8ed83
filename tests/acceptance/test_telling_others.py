"""Other systems and the daemon as a process: nothing is lost when it is killed, and no one waits for a broker that hangs."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from agbot.sim.agent_state import Word
from tests.acceptance import hub as hubs
from tests.acceptance.hub import Hub
from tests.acceptance.site import Site, granted, group_of_three
from tests.support.listening import listening
from tests.support.mosquitto import PASSWORD, USER, Mosquitto
from tests.support.patience import allowed_seconds, in_time, until

EVENTS, STATE, STATUS = "agbot/o1/g1/event", "agbot/o1/g1/state", "agbot/status"
GROUPS = 12


def tell(site: Site, broker: Mosquitto, **more: Any) -> None:
    """Set the site's broker."""
    site.tables["mqtt"] = {"host": "127.0.0.1", "port": broker.port, **more}
    site.write()


async def test_killed_between_commit_and_delivery_it_reports_after_its_start_and_its_last_will_is_known(
    hub: Hub, site: Site, broker: Mosquitto
) -> None:
    broker.passwords = {USER: PASSWORD}
    password_file = site.folder / "mqtt-password"
    password_file.write_text(PASSWORD, encoding="utf-8")
    password_file.chmod(0o600)
    await group_of_three(hub)
    await hub.group("g2", "dora", "emil")
    daemon = await site.start_ready()
    # no broker in the settings yet: it is never reported of this
    await granted(site, "dora", group="g2")
    daemon.kill()
    tell(site, broker, username=USER, password_file="mqtt-password")
    await broker.start()
    async with listening(broker.port, username=USER, password=PASSWORD) as listener:
        await until("it listens", lambda: listener.is_connected)
        daemon = await site.start_ready()
        await until("that it is there", lambda: listener.on(STATUS))
        broker.kill()
        await until("it is missed", lambda: daemon.events("mqtt.failed"))
        await granted(site, "anna")
        daemon.kill()
        assert listener.events() == []

        await broker.start()
        await until("it listens again", lambda: listener.is_connected)
        await hub.break_down({"kind": "drop"})
        daemon = site.start()
        await until("the event", lambda: listener.on(EVENTS))
        assert listener.on(STATE) == [], "nobody knows how the group stands before the Exchange was read"
        await hub.break_down()
        await until("the state", lambda: listener.on(STATE))
        (grant,) = listener.on(EVENTS)
        assert (grant["event"], grant["node"], grant["token"]) == ("lease.granted", "o1/anna", 1)
        state = listener.on(STATE)[-1]
        assert (state["state"], state["holder"], state["token"]) == ("held", "o1/anna", 1)

        await hub.report("anna", Word.SUCCESSFUL)
        await until("the end", lambda: [each["event"] for each in listener.on(EVENTS)][-1] == "lease.released")
        await until("the free lease", lambda: listener.on(STATE)[-1]["state"] == "free")
        daemon.kill()
        await until("its last will", lambda: listener.on(STATUS)[-1]["status"] == "offline")
    async with listening(broker.port, username=USER, password=PASSWORD) as later:
        await until("what is retained", lambda: later.on(STATE) and later.on(STATUS))

    assert {event["group"] for event in listener.events()} == {"o1/g1"}
    assert later.on(STATUS) == listener.on(STATUS)[-1:]
    assert later.on(STATE) == listener.on(STATE)[-1:]
    assert PASSWORD not in "".join(each.log for each in site.daemons)
    assert PASSWORD.encode() not in site.store_file.read_bytes()


async def test_what_left_the_journal_while_the_broker_was_away_is_reported_to_operators_and_to_the_broker(
    hub: Hub, site: Site, broker: Mosquitto
) -> None:
    await group_of_three(hub)
    tell(site, broker)
    daemon = await site.start_ready()
    await granted(site, "anna")
    daemon.kill()
    site.tables["store"]["journal_days"] = 1e-9
    site.write()

    daemon = await site.start_ready()
    await until("the prune of its first cycle; the next is an hour away", lambda: has_empty_journal(site))
    await broker.start()
    async with listening(broker.port) as listener:
        await until("the loss", lambda: daemon.events("delivery.lost"))
        await until("that it is there", lambda: listener.on(STATUS))
        history = await site.operate("history", "--event", "delivery.lost")
        found = await figures(site)

    (line,) = daemon.events("delivery.lost")
    assert (line["level"], line["sink"], line["receiver"]) == ("warning", "mqtt", f"127.0.0.1:{broker.port}")
    assert line["first"] == 1
    assert found["agbot_deliveries_total", "lost", "mqtt"] == line["last"]
    assert "when the journal dropped it" in " ".join(history.out.split())


async def has_empty_journal(site: Site) -> bool:
    return await site.journal() == []


async def test_grants_and_cycles_take_no_longer_with_a_broker_and_a_webhook_that_hang(
    hub: Hub, site: Site, new_site: Callable[[str], Site], broker: Mosquitto
) -> None:
    """Two daemons side by side, each with groups of its own, asked in turn."""
    other = new_site("other")
    # the kernel accepts, no one ever answers
    deaf = socket.create_server(("127.0.0.1", 0), backlog=128)
    secret = other.folder / "webhook-secret"
    secret.write_text("hush7signs7hush", encoding="utf-8")
    secret.chmod(0o600)
    other.tables["webhook"] = {
        "urls": [f"http://127.0.0.1:{deaf.getsockname()[1]}/hook"],
        "secret_file": "webhook-secret",
        "timeout_seconds": 1.0,
    }
    tell(other, broker)
    await hub.publish()
    for number in range(2 * GROUPS):
        await hub.group(f"g{number}", f"a{number}", f"b{number}")
    await broker.start()
    async with listening(broker.port) as listener:
        daemons = [await site.start_ready(), await other.start_ready()]
        await until("that it is there", lambda: listener.on(STATUS))
    broker.freeze()

    loop = asyncio.get_running_loop()
    took: dict[Path, list[float]] = {site.folder: [], other.folder: []}
    for number in range(GROUPS):
        for place, group in ((site, 2 * number), (other, 2 * number + 1)):
            began = loop.time()
            answer = await hubs.ask(place.gateway, f"a{group}", group=f"g{group}")
            took[place.folder].append(loop.time() - began)
            assert answer.status == 201, answer

    await until("the lag of both", lambda: is_behind(other, GROUPS))
    plain, hanging = (median(took[place.folder]) for place in (site, other))
    assert hanging < 2 * plain + allowed_seconds(0.05), f"a grant took {hanging:.3f} s, and {plain:.3f} s without"
    plain, hanging = [await cycle_seconds(place) for place in (site, other)]
    assert hanging < 2 * plain + allowed_seconds(0.05), f"a cycle took {hanging:.3f} s, and {plain:.3f} s without"

    with in_time(4.0):
        for daemon in daemons:
            daemon.terminate()
        assert [await daemon.ended() for daemon in daemons] == [0, 0]
    assert [line for daemon in daemons for line in daemon.lines() if "exception" in line] == []
    deaf.close()


async def figures(site: Site) -> dict[tuple[str, ...], float]:
    """Read the metrics as (name, label values...) -> value."""
    _, text = await site.get("/metrics")
    families = text_string_to_metric_families(text)
    return {(each.name, *each.labels.values()): each.value for family in families for each in family.samples}


async def is_behind(site: Site, entries: int) -> bool:
    """Whether broker and webhook have not taken at least so many events."""
    found = await figures(site)
    return all(found["agbot_delivery_lag_entries", sink] >= entries for sink in ("mqtt", "webhook"))


async def cycle_seconds(site: Site) -> float:
    """Return what a cycle takes on average."""
    found = await figures(site)
    return found[("agbot_cycle_seconds_sum",)] / found[("agbot_cycle_seconds_count",)]
