"""Each check names what was tried, what came back and what to do, and passes where there is nothing to do."""

from __future__ import annotations

import asyncio
import shlex
import socket
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from agbot.coordinator.contract import GroupView, LeaseView, OrgView, Overview, StuckView
from agbot.daemon.certificates import first_end
from agbot.doctor import agents, certificates, clocks, configuration, listeners, secure_api
from agbot.doctor.doctor import Doctor, Patient
from agbot.doctor.finding import Standing, Verdict
from agbot.doctor.listeners import Daemon
from agbot.rules.ids import GroupId, NodeId, PolicyId
from agbot.settings import load
from agbot.sim.exchange import seed
from agbot.sim.faults import Fault, FaultKind
from tests.acceptance.programs import free_port
from tests.integration.doctor.ward import COORDINATOR, ORG, BriskClock, of, ward
from tests.integration.gateway.scripted import gateway
from tests.support import authority

CERTIFICATE = Path(authority.__file__).with_name("tls") / "certificate.pem"
NOWHERE = Daemon(overview=None, url="http://127.0.0.1:1")


def overview(**more: object) -> Overview:
    values: dict[str, object] = {
        "sentence": "nothing new",
        "cycle_at": None,
        "ready": True,
        "not_ready": (),
        "view_age_seconds": 1.0,
        "view_ok": True,
        "store_ok": True,
        "orgs": (),
        **dict.fromkeys(("held", "suspect", "waiting", "deferred", "overlaps", "brakes", "holds"), 0),
    }
    return Overview(**{**values, **more})  # type: ignore[arg-type]  # by name


async def test_a_sound_hub_has_nothing_wrong(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        seed.node(hub.exchange, ORG, "n1")
        seed.group(hub.exchange, ORG, "g1", ["n1"])
        report = await hub.examine()
        assert report.verdict is Verdict.OK, [each for each in report.findings if each.verdict is not Verdict.OK]
        shown = {each.check: each.found for each in report.findings}
        assert shown["identity"] == f"IBM/{COORDINATOR} logs in, and is an agbot"
        assert shown[f"organisation {ORG}"] == "1 HA group, 1 member"
        assert shown["exchange"].startswith("answers, version 2.")


async def test_it_only_reads(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1", "w2")
        hub.exchange.requests.clear()
        await hub.examine()
        assert {key.method for key in hub.exchange.requests} == {"GET"}
        assert {request.split()[0] for request in hub.api.requests} == {"GET"}


async def test_an_exchange_that_does_not_answer_is_one_finding(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.leave("a1")
        hub.tables["exchange"]["url"] = '"http://127.0.0.1:1/v1"'
        report = await hub.examine()
        [found] = of(report, "exchange")
        assert found.verdict is Verdict.WRONG
        assert found.tried == "GET http://127.0.0.1:1/v1/admin/version"
        assert found.next_step
        assert of(report, "slots")[0].found == "1 listed, and not judged: the Exchange cannot be read"


async def test_a_wrong_token_is_named_without_being_shown(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        (tmp_path / "token").write_text("hush7other7hush", encoding="utf-8")
        report = await hub.examine()
        [found] = of(report, "identity")
        assert (found.verdict, found.found) == (
            Verdict.WRONG,
            f"the Exchange refuses IBM/{COORDINATOR} with this token",
        )
        assert "hush7" not in repr(report)


async def test_an_identity_that_is_no_agbot_is_wrong(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        (tmp_path / "token").write_text(seed.token_of("admin"), encoding="utf-8")
        hub.tables["exchange"]["identity"] = f'"{ORG}/admin"'
        assert of(await hub.examine(), "identity")[0].found == f"{ORG}/admin logs in, but is not an agbot"


async def test_an_identity_of_another_organisation_is_warned_of_and_what_it_may_not_read_is_wrong(
    tmp_path: Path,
) -> None:
    async with ward(tmp_path) as hub:
        seed.org(hub.exchange, "o2")
        seed.agbot(hub.exchange, "o2", "mine")
        (tmp_path / "token").write_text(seed.token_of("mine"), encoding="utf-8")
        hub.tables["exchange"] |= {"identity": '"o2/mine"', "organisations": f'["{ORG}", "o2"]'}
        report = await hub.examine()
        assert of(report, "identity")[1].found == "it sees only its own organisation, o2"
        assert of(report, f"organisation {ORG}")[0].verdict is Verdict.WRONG
        assert of(report, "organisation o2")[0].verdict is Verdict.OK


async def test_an_organisation_that_does_not_exist_is_wrong(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["exchange"]["organisations"] = '["nowhere"]'
        assert of(await hub.examine(), "organisation nowhere")[0].found == "it does not exist"


async def test_a_clock_that_differs_is_warned_of(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.exchange.faults.add(Fault(kind=FaultKind.CLOCK, seconds=90.0))
        [found] = of(await hub.examine(), "clocks")
        assert found.verdict is Verdict.WARNING
        assert found.found in {f"the Exchange's clock is {seconds} s ahead of ours" for seconds in (89, 90, 91)}


def test_what_an_answer_takes_is_no_difference_of_the_clocks() -> None:
    sent_at = datetime(2026, 3, 4, tzinfo=UTC)
    read_at = {seconds: sent_at + timedelta(seconds=seconds) for seconds in (-3, -1, 0, 10, 11, 13)}
    found = {
        seconds: clocks.against_ours("the Exchange's clock", at, sent_at, read_at[10]).verdict
        for seconds, at in read_at.items()
    }

    assert [seconds for seconds, verdict in found.items() if verdict is Verdict.WARNING] == [-3, 13]


async def test_the_agbot_s_own_identity_is_not_ours_to_use(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        (tmp_path / "token").write_text(seed.token_of("agbot1"), encoding="utf-8")
        hub.tables["exchange"]["identity"] = '"IBM/agbot1"'
        hub.tables["agbot"].pop("identity")
        wrong = [each for each in of(await hub.examine(), "agbot") if each.verdict is Verdict.WRONG]
        assert [each.next_step for each in wrong] == ["give the coordinator an agbot identity of its own"]


async def test_an_agbot_that_is_not_running_is_wrong_and_its_slots_are_not_known(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["agbot"]["api"] = '["http://127.0.0.1:1"]'
        report = await hub.examine()
        assert of(report, "agbot")[0].found == "connections are refused at http://127.0.0.1:1"
        assert of(report, "slots")[0].verdict is Verdict.WARNING


async def test_a_secure_api_where_no_agbot_answers_is_wrong_and_another_program_there_a_warning(
    tmp_path: Path,
) -> None:
    async with ward(tmp_path) as hub:
        [sound] = of(await hub.examine(), "secure API")
        hub.tables["agbot"]["secure_api"] = hub.tables["exchange"]["url"]
        [other] = of(await hub.examine(), "secure API")
        dead = f"http://127.0.0.1:{free_port()}"
        hub.tables["agbot"]["secure_api"] = f'"{dead}"'
        [found] = of(await hub.examine(), "secure API")
    assert (sound.verdict, other.verdict, found.verdict) == (Verdict.OK, Verdict.WARNING, Verdict.WRONG)
    assert found.tried == f"OPTIONS {dead}/deploycheck/policycompatible"
    assert found.found == f"no connection to {dead.removeprefix('http://')}: connection refused"
    assert "[agbot] secure_api" in found.next_step


async def test_a_secure_api_is_trusted_by_its_own_ca_file_alone(tmp_path: Path) -> None:
    pair = authority.made(tmp_path / "tls", "hub", days=300)
    server = await asyncio.start_server(_says_allow, "127.0.0.1", 0, ssl=pair.server())
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        [sound] = await secure_api.check(url, pair.certificate)
        [untrusted] = await secure_api.check(url, None)
    assert sound.verdict is Verdict.OK, sound
    assert untrusted.verdict is Verdict.WRONG
    assert untrusted.found.startswith("its certificate is not accepted: ")
    assert untrusted.next_step.endswith("[agbot] secure_api_ca_file")


async def _says_allow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nAllow: GET, OPTIONS\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()


async def test_the_look_at_the_gateway_is_no_failed_login(tmp_path: Path) -> None:
    """Operators search the log for nodes with a wrong token."""
    async with ward(tmp_path) as hub:
        reading = hub.settings()
        assert reading.loaded is not None
        with capture_logs() as logged:
            async with gateway() as running:
                address = replace(reading.loaded.settings.gateway, listen=f"127.0.0.1:{running.port}")
                settings = replace(reading.loaded.settings, gateway=address)
                _, found = await listeners.check(settings, Daemon(overview=overview(), url="http://127.0.0.1:1"))
                assert (found.verdict, found.found) == (Verdict.OK, f"answers questions at {address.listen}")
    assert [line["event"] for line in logged] == ["gateway.started", "gateway.stopped"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("o1/g*", []),
        ("o?", []),
        ("o1/nosuch*", ['[scope."o1/nosuch*"] matches no HA group']),
        ("west", ["[scope.west] matches no organisation; known are o1"]),
    ],
)
async def test_a_scope_that_matches_nothing_is_warned_of(tmp_path: Path, pattern: str, found: list[str]) -> None:
    async with ward(tmp_path) as hub:
        seed.node(hub.exchange, ORG, "n1")
        seed.group(hub.exchange, ORG, "g1", ["n1"])
        hub.tables[f'scope."{pattern}"'] = {"dead_after_seconds": "900"}
        report = await hub.examine()
    assert [(each.found, each.verdict) for each in of(report, "scopes")] == [(each, Verdict.WARNING) for each in found]


def test_what_to_do_about_a_mistake_in_the_settings_is_true(tmp_path: Path) -> None:
    [missing] = configuration.check("nope.toml", load.read(tmp_path / "nope.toml", {}))
    assert missing.next_step.startswith("give the path of a settings file")
    token = tmp_path / "token"
    token.write_text("hush", encoding="utf-8")
    token.chmod(0o644)
    reading = load.read(None, {"AGBOT_EXCHANGE_TOKEN_FILE": str(token)}, may_lack_secrets=True)
    [open_file] = [each for each in configuration.check("the file", reading) if "readable by every user" in each.found]
    assert open_file.next_step == f"set mode 600 (chmod 600 {token})"


async def test_without_the_local_api_that_is_a_warning(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["agbot"].pop("api")
        [found] = of(await hub.examine(), "agbot")
        assert found.verdict is Verdict.WARNING


async def test_a_port_in_use_by_another_program_is_wrong(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        listen = hub.tables["gateway"]["listen"].strip('"')
        host, _, port = listen.partition(":")
        async with await asyncio.start_server(lambda _, writer: writer.close(), host, int(port)):
            [taken] = of(await hub.examine(), "gateway")
            [dead] = of(await hub.examine(Daemon(overview=overview(), url="http://127.0.0.1:1")), "gateway")
        assert (taken.verdict, taken.found) == (Verdict.WRONG, f"{listen}: it is in use")
        assert dead.verdict is Verdict.WRONG, "whoever listens there answers no questions"
        assert listeners.why_not_free(listen) == ("", ""), "and the check leaves nothing open"


def test_a_host_is_free_if_each_of_its_addresses_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """As for the daemon, which listens on all of them; one may have none of IPv4."""
    names = {"::": ["::"], "six": ["::1"], "both": ["127.0.0.1", "::1"], "far": ["::1", "2001:db8::1"]}
    resolve = socket.getaddrinfo

    def found(host: str, port: int, **how: int) -> list[Any]:
        return [each for address in names[host] for each in resolve(address, port, **how)]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as taken:
        port = taken.getsockname()[1]
        assert listeners.why_not_free("six:0") == ("", "")
        assert listeners.why_not_free(f"six:{port}")[0] == "it is in use"
        assert listeners.why_not_free(f"both:{port}")[0] == "it is in use"
        assert "cannot assign" in listeners.why_not_free("far:0")[0]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        in_use, _ = listeners.why_not_free(f"[::]:{taken.getsockname()[1]}")
        assert in_use == "it is in use", "`::` is of IPv4 too"


@pytest.mark.parametrize(
    ("listen", "step"), [("192.0.2.1:8083", "`ip addr`"), ("nowhere.invalid:8083", "set an address of this machine")]
)
@pytest.mark.parametrize("section", ["gateway", "console"])
async def test_an_address_of_no_program_is_not_looked_for_among_the_programs(
    tmp_path: Path, section: str, listen: str, step: str
) -> None:
    async with ward(tmp_path) as hub:
        hub.tables[section]["listen"] = f'"{listen}"'
        [found] = of(await hub.examine(), section)

    assert (found.verdict, step in found.next_step, "ss -ltnp" in found.next_step) == (Verdict.WRONG, True, False)


async def test_mistakes_of_the_settings_are_findings(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        hub.tables["exchange"]["poll_secs"] = "5"
        reading = hub.settings()
        [found] = configuration.check("agbot.toml", reading)
        assert (found.verdict, reading.loaded) == (Verdict.WRONG, None)
        assert 'there is no key "poll_secs"' in found.found


def test_members_that_bypass_the_gateway_are_wrong_and_those_that_never_asked_a_warning() -> None:
    found = agents.check(overview(bypassing=1, bypassing_named=("o1/n1",), never_asked=2, never_asked_named=("o1/n2",)))
    assert [(each.verdict, each.found) for each in found] == [
        (Verdict.WRONG, "o1/n1 upgraded without asking (gateway.bypassed)"),
        (Verdict.WARNING, "o1/n2 and 1 more never asked the coordinator"),
    ]
    read = OrgView(org="o1", groups=1, members=2, read_at=datetime(2026, 3, 4, tzinfo=UTC))
    assert [each.verdict for each in agents.check(overview(orgs=(read,)))] == [Verdict.OK]
    assert [each.verdict for each in agents.check(None)] == [Verdict.OK]


def test_of_organisations_that_are_not_read_it_is_not_claimed_that_every_member_has_asked() -> None:
    unread = OrgView(org="o1", groups=0, members=0, read_at=None, failing="401")
    read = OrgView(org="o2", groups=1, members=2, read_at=datetime(2026, 3, 4, tzinfo=UTC))
    nothing = "not known: the coordinator has read no organisation"
    for orgs, shown in (((), nothing), ((unread,), nothing), ((unread, read), "not known of o1: not read yet")):
        [found] = agents.check(overview(orgs=orgs))
        assert (found.verdict, found.found) == (Verdict.WARNING, shown)


def test_who_asked_before_the_store_was_replaced_is_not_known_and_not_claimed() -> None:
    replaced = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
    [found] = agents.check(overview(never_asked=1, never_asked_named=("o1/n2",), asked_since=replaced))

    assert found.found == "o1/n2 have not asked the coordinator since its store was replaced at 2026-03-04 05:06:07Z"
    assert found.next_step.startswith("they had no upgrade since, or")


async def test_answers_of_another_listener_than_that_of_the_settings_are_a_warning(tmp_path: Path) -> None:
    async with ward(tmp_path) as hub:
        reading = hub.settings()
        assert reading.loaded is not None
        settings = reading.loaded.settings
        port = settings.console.listen.rpartition(":")[2]
        found = {}
        for url in ("http://127.0.0.1:1", f"http://localhost:{port}"):
            found[url], _ = await listeners.check(settings, Daemon(overview=overview(), url=url))
    other, own = found.values()
    assert (other.verdict, own.verdict) == (Verdict.WARNING, Verdict.OK)
    assert "unset AGBOT_URL" in other.next_step


async def test_a_token_that_is_refused_comes_with_a_command_that_works(tmp_path: Path) -> None:
    """`hzn` has no command for it."""
    async with ward(tmp_path) as hub:
        (tmp_path / "token").write_text("wrong", encoding="utf-8")
        [refused] = of(await hub.examine(), "identity")
        command = refused.next_step.partition("administrator: ")[2]
        command = command.replace("ORG/USER:PASSWORD", "root/root:rootpw").replace("TOKEN", "wrong")
        done = await asyncio.create_subprocess_exec(*shlex.split(command), "--silent", "--fail")
        assert await done.wait() == 0
        assert [each.verdict for each in of(await hub.examine(), "identity")] == [Verdict.OK]


@pytest.mark.parametrize(("days", "verdict"), [(-3, Verdict.WRONG), (10, Verdict.WARNING), (300, Verdict.OK)])
async def test_the_days_left_of_our_certificate_are_judged(tmp_path: Path, days: int, verdict: Verdict) -> None:
    end = first_end(CERTIFICATE.read_bytes())
    assert end is not None
    async with ward(tmp_path) as hub:
        hub.tables["gateway"] |= {
            "certificate_file": f'"{CERTIFICATE}"',
            "key_file": f'"{CERTIFICATE.with_name("key.pem")}"',
        }
        reading = hub.settings()
        assert reading.loaded is not None
        [(key, found)] = certificates.own(reading.loaded.settings, end - timedelta(days=days))
        assert (key, found.verdict) == ("gateway.certificate_file", verdict)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ('{"liveHealth": {"lastDBHeartbeat": NaN}}', "it shows no time as its last heartbeat in the database: nan"),
        ('{"liveHealth": {"lastDBHeartbeat": 1e300}}', "it shows no time"),
        ('{"liveHealth": {"lastDBHeartbeat": 1772600767000000}}', "it shows no time"),
        ('{"liveHealth": {"lastDBHeartbeat": true}}', "it has written no heartbeat"),
        ("[" * 20_000, "is not JSON"),
    ],
)
async def test_what_the_agbot_shows_in_place_of_a_time_is_a_finding_and_no_traceback(
    tmp_path: Path, body: str, found: str
) -> None:
    async with ward(tmp_path) as hub:
        hub.api.faults.add(Fault(kind=FaultKind.GARBAGE, path="^/health$", text=body))
        shown = [each.found for each in (await hub.examine()).findings if each.check == "agbot"]
        assert any(found in each for each in shown), shown


async def test_what_a_running_daemon_has_watched_counts(tmp_path: Path) -> None:
    """One look cannot show W1 of a node that is back: the daemon has seen for minutes that nothing happens."""
    async with ward(tmp_path) as hub:
        [scene] = hub.leave("w1")
        seed.send(hub.exchange, "POST", f"/orgs/{ORG}/nodes/{scene.first}/heartbeat", caller=f"{ORG}/{scene.first}")
        node, policy = NodeId(f"{ORG}/{scene.first}"), PolicyId(f"{ORG}/{scene.policy}")
        watched = StuckView(node=node, kind="service", subject=policy, defect="W1", why="no agreement runs", cure="")
        group = GroupId(f"{ORG}/{scene.group}")
        lease = LeaseView(group=group, state="free", token=3)
        reading = hub.settings()
        assert reading.loaded is not None
        alone = (await hub.examine()).slots
        groups = [GroupView(id=group, members=(), lease=lease, stuck=(watched,))]
        now = list[GroupView]()
        known = Patient(file="", settings_read=reading, daemon=NOWHERE, groups=groups, groups_now=lambda: now)
        doctor = Doctor(reading.loaded, known, BriskClock())
        [slot] = (await doctor.examine()).slots
        begun_again = await doctor.cure(slot)
        now[:] = groups
        outcome = await doctor.cure(slot)
        await doctor.close()
        assert "it is no longer stuck" in begun_again.text
        assert (begun_again.is_cured, outcome.is_cured) == (False, True)
        assert [each.standing for each in alone] == [Standing.UNDER_WAY]
        assert (slot.standing, slot.defect) == (Standing.STUCK, "W1")
        assert slot.cure


async def test_one_day_is_one_day(tmp_path: Path) -> None:
    pair = authority.made(tmp_path / "tls", "hub", days=1)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=pair.server())
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        [soon] = await certificates.of_server("the Exchange", url, pair.certificate, BriskClock())
    assert soon.found.endswith("expires in 1 day")


async def test_the_certificate_that_a_server_shows_is_judged(tmp_path: Path) -> None:
    pair = authority.made(tmp_path / "tls", "hub", days=5)
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0, ssl=pair.server())
    async with server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        [soon] = await certificates.of_server("the Exchange", url, pair.certificate, BriskClock())
        [untrusted] = await certificates.of_server("the Exchange", url, None, BriskClock())
    assert soon.verdict is Verdict.WARNING
    assert "expires in 5 days" in soon.found
    assert untrusted.verdict is Verdict.WRONG
    assert "ca_file" in untrusted.next_step
