"""Settings are read as a whole: every mistake at once, each where it stands."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agbot.settings import document, load, sample
from agbot.settings.problems import Problem, SettingsError
from tests.support.warned import warned

GOOD = """
[exchange]
url = "https://hub.example.com/edge-exchange/v1"
identity = "IBM/coordinator"
token_file = "token"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    token = tmp_path / "token"
    token.write_text("s3cret\n", encoding="utf-8")
    token.chmod(0o600)
    path = tmp_path / "agbot.toml"
    path.write_text(GOOD, encoding="utf-8")
    return path


def mistakes(path: Path, **environ: str) -> dict[str, Problem]:
    return {each.key: each for each in load.read(path, environ).mistakes}


def add(config: Path, text: str) -> None:
    config.write_text(config.read_text(encoding="utf-8") + text, encoding="utf-8")


def test_a_good_file_becomes_settings_and_secrets(config: Path) -> None:
    loaded = load.load(config, {})

    assert loaded.settings.exchange.identity == "IBM/coordinator"
    assert loaded.settings.exchange.token_file == config.parent / "token"
    assert loaded.secrets.exchange_token is not None
    assert loaded.secrets.exchange_token.reveal() == "s3cret"
    assert loaded.secrets.operator_token is None
    assert warned(loaded.warnings) == []


def test_every_mistake_is_reported_at_once_with_its_line(config: Path) -> None:
    add(
        config,
        """poll_seconds = "often"
pol_seconds = 3
[gatway]
[gateway]
listen = "8083"
answer_seconds = 20
[rules]
windows = ["sat 22:00-04:00 Europe/Berlni"]
[log]
level = "loud"
""",
    )

    found = load.read(config, {}).mistakes

    assert [(each.line, each.key) for each in found] == [
        (6, "exchange.poll_seconds"),
        (7, "exchange.pol_seconds"),
        (8, "gatway"),
        (10, "gateway.listen"),
        (11, "gateway.answer_seconds"),
        (13, "rules.windows"),
        (15, "log.level"),
    ]
    assert all(each.file == str(config) for each in found)
    with pytest.raises(SettingsError, match="Europe/Berlin"):
        load.load(config, {})


def test_a_mistake_names_the_line_of_the_sample_that_explains_the_key(config: Path) -> None:
    add(config, "[rules]\nmin_available = -1\n")
    text = sample.toml().splitlines()

    line = mistakes(config)["rules.min_available"].sample_line

    assert line is not None
    assert text[line - 1] == "#min_available = 1"


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("[exchnge]\n", "exchnge", "exchange"),
        ("poll_second = 3\n", "exchange.poll_second", "poll_seconds"),
        ("[agbot]\nsecure_ap = ''\n", "agbot.secure_ap", "secure_api"),
    ],
)
def test_a_key_that_is_not_known_is_a_mistake_with_a_proposal(config: Path, text: str, key: str, meant: str) -> None:
    add(config, text)

    assert f'did you mean "{meant}"?' in mistakes(config)[key].problem


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("exchange", "poll_seconds = true"),
        ("exchange", "poll_seconds = nan"),
        ("exchange", "poll_seconds = 0"),
        ("exchange", "max_requests_open = 2.5"),
        ("exchange", "max_requests_open = 0"),
        ("exchange", 'organisations = "*"'),
        ("exchange", "organisations = [3]"),
        ("exchange", 'organisations = ["a", "a"]'),
        ("exchange", 'organisations = ["a/b"]'),
        ("exchange", "organisations = []"),
        ("exchange", "busy_poll_seconds = 11"),
        ("exchange", "view_max_age_seconds = 10"),
        ("exchange", 'ca_file = "missing.pem"'),
        ("agbot", 'secure_api = "agbot:8083"'),
        ("agbot", 'secure_api = "http://127.0.0.1:8083"'),
        ("agbot", 'secure_api_ca_file = "missing.pem"'),
        ("agbot", 'api = ["127.0.0.1:8080"]'),
        ("agbot", 'api = ["http://localhost:8084"]'),
        ("agbot", 'api = ["http://127.0.0.1:8080", "http://127.0.0.1:8083"]'),
        ("agbot", 'api = ["http://127.0.0.1:8080", "http://127.0.0.1:8080"]'),
        ("agbot", 'identity = "agbot"'),
        ("agbot", "request_seconds = 0"),
        ("gateway", 'listen = "host:99999"'),
        ("gateway", 'listen = "[::1:8083"'),
        ("gateway", 'quiet_refusals = "no"'),
        ("gateway", "max_open = 0"),
        ("gateway", "max_header_bytes = 10"),
        ("console", 'listen = "127.0.0.1:8083"'),
        ("store", "path = 3"),
        ("store", "journal_days = 0"),
        ("mqtt", 'host = "mqtt://broker"'),
        ("mqtt", 'host = "broker:1883"'),
        ("mqtt", "port = 0"),
        ("mqtt", "port = 65536"),
        ("mqtt", "port = 1883.0"),
        ("mqtt", 'ca_file = "missing.pem"'),
        ("mqtt", 'certificate_file = "missing.pem"'),
        ("mqtt", 'key_file = "missing.pem"'),
        ("mqtt", 'password_file = "missing"'),
        ("mqtt", "protocol = 5"),
        ("mqtt", 'protocol = "3.1"'),
        ("mqtt", 'prefix = ""'),
        ("mqtt", 'prefix = "/agbot"'),
        ("mqtt", 'prefix = "$SYS"'),
        ("mqtt", 'prefix = "ag+bot"'),
        ("mqtt", "keepalive_seconds = 0"),
        ("mqtt", "keepalive_seconds = 65536"),
        ("webhook", 'urls = [""]'),
        ("webhook", 'urls = ["example.com/hook"]'),
        ("webhook", 'urls = ["https://example.com/hook?token=s3cret"]'),
        ("webhook", 'urls = ["https://a.example.com", "https://a.example.com"]'),
        ("webhook", 'secret_file = "missing"'),
        ("webhook", 'ca_file = "missing.pem"'),
        ("webhook", "timeout_seconds = 0"),
        ("log", 'format = "xml"'),
        ("rules", "lease_seconds = 29"),
        ("rules", "confirm_seconds = 5"),
        ("rules", "dead_after_seconds = 200"),
        ("rules", "max_upgrade_seconds = 500"),
        ("rules", "windows = [2026-01-01]"),
    ],
)
def test_a_value_that_cannot_work_is_a_mistake_at_its_key(config: Path, section: str, text: str) -> None:
    add(config, f"{'' if section == 'exchange' else f'[{section}]'}\n{text}\n")

    found = mistakes(config)

    assert list(found) == [f"{section}.{text.partition(' ')[0]}"]
    assert next(iter(found.values())).line == len(config.read_text(encoding="utf-8").splitlines())


def test_the_real_agbot_s_identity_is_not_for_us(config: Path) -> None:
    """Reading the change feed with it would make a dead agbot look alive."""
    add(config, '[agbot]\nidentity = "IBM/coordinator"\n')

    assert "heartbeat" in mistakes(config)["exchange.identity"].problem


@pytest.mark.parametrize(
    ("old", "value", "new"),
    [
        ("gateway.upstream", '"http://127.0.0.1:3111"', "[agbot] secure_api"),
        ("gateway.upstream_ca_file", '"hub.crt"', "[agbot] secure_api_ca_file"),
        ("exchange.served_by", '"IBM/real"', "[agbot] identity"),
    ],
)
def test_a_key_that_has_moved_is_a_mistake_that_names_its_new_place(
    config: Path, old: str, value: str, new: str
) -> None:
    section, _, name = old.partition(".")
    add(config, f"{'' if section == 'exchange' else f'[{section}]'}\n{name} = {value}\n")

    assert new in mistakes(config)[old].problem


def test_an_environment_variable_that_was_renamed_is_a_mistake_and_not_ignored(config: Path) -> None:
    found = mistakes(config, AGBOT_GATEWAY_UPSTREAM="http://127.0.0.1:3111")

    assert "AGBOT_AGBOT_SECURE_API" in found["gateway.upstream"].problem


def test_the_local_api_is_recommended_where_only_the_secure_one_is_given(config: Path) -> None:
    add(config, '[agbot]\nsecure_api = "https://agbot.example.com:3111"\n')

    assert [each.key for each in warned(load.read(config, {}).warnings)] == ["agbot.api"]

    add(config, 'api = ["http://127.0.0.1:3110"]\n')
    assert warned(load.read(config, {}).warnings) == []


def test_a_local_api_on_another_machine_is_a_warning_because_it_asks_for_no_credentials(config: Path) -> None:
    add(config, '[agbot]\napi = ["http://127.0.0.1:3110", "http://agbot.example.com:3110"]\n')

    assert [(each.key, "credentials" in each.problem) for each in warned(load.read(config, {}).warnings)] == [
        ("agbot.api", True)
    ]


def test_the_secure_api_is_not_the_local_one(config: Path) -> None:
    add(config, '[agbot]\nsecure_api = "http://127.0.0.1:3111/"\napi = ["http://127.0.0.1:3111"]\n')

    found = mistakes(config)
    assert list(found) == ["agbot.secure_api"], "the local API is the one without TLS"
    assert "is set as secure_api and in api" in found["agbot.secure_api"].problem


def test_a_hanging_agbot_may_not_take_the_whole_time_of_an_answer(config: Path) -> None:
    add(config, '[agbot]\napi = ["http://127.0.0.1:3110"]\nrequest_seconds = 3\n')

    assert list(mistakes(config)) == ["agbot.request_seconds"]


@pytest.mark.parametrize(
    ("gateway", "console", "collide"),
    [
        ("0.0.0.0:8083", "127.0.0.1:8083", True),
        ("[::]:8083", "127.0.0.1:8083", True),
        ("10.0.0.1:8083", "127.0.0.1:8083", False),
        ("127.0.0.1:8083", "127.0.0.1:8084", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
    ],
)
def test_two_listeners_need_two_sockets(config: Path, gateway: str, console: str, collide: bool) -> None:
    environ = {"AGBOT_GATEWAY_LISTEN": gateway, "AGBOT_CONSOLE_LISTEN": console}

    assert list(mistakes(config, **environ)) == (["console.listen"] if collide else [])


def test_half_a_pair_of_certificate_and_key_is_reported_at_the_missing_half(config: Path) -> None:
    (config.parent / "tls.crt").write_text("-----BEGIN CERTIFICATE-----\n", encoding="utf-8")
    add(config, '[gateway]\ncertificate_file = "tls.crt"\n')

    assert list(mistakes(config)) == ["gateway.key_file"]


def test_a_certificate_that_cannot_be_used_is_reported_before_the_listener_fails(config: Path) -> None:
    for name in ("tls.crt", "tls.key"):
        (config.parent / name).write_text("-----BEGIN NONSENSE-----\n", encoding="utf-8")
    add(config, '[gateway]\ncertificate_file = "tls.crt"\nkey_file = "tls.key"\n')
    add(config, '[agbot]\nsecure_api_ca_file = "tls.crt"\n')

    assert set(mistakes(config)) == {"gateway.key_file", "agbot.secure_api_ca_file"}


def test_without_a_file_everything_required_is_named() -> None:
    found = {each.key: each for each in load.read(None, {}).mistakes}

    assert set(found) == {"exchange.url", "exchange.identity", "exchange.token_file"}
    assert found["exchange.url"].place == "no settings file"


@pytest.mark.parametrize(
    ("content", "stated"),
    [
        (b"[exchange\n", "this is not TOML"),
        (b"a = 1\na = 2\n", "this is not TOML"),
        (b"\xff\xfe", "not UTF-8"),
    ],
)
def test_a_file_that_is_not_toml_is_one_mistake_among_the_others(tmp_path: Path, content: bytes, stated: str) -> None:
    path = tmp_path / "agbot.toml"
    path.write_bytes(content)

    assert stated in mistakes(path)[""].problem


def test_a_wrong_address_is_one_finding(config: Path) -> None:
    """The default that takes its place is open to other machines, which nobody has asked for."""
    add(config, '[gateway]\nlisten = "127.0.0.1:99999"\n')

    reading = load.read(config, {})
    assert [each.key for each in reading.mistakes] == ["gateway.listen"]
    assert "gateway.certificate_file" not in {each.key for each in reading.warnings}


def test_a_missing_file_is_reported_with_its_path(tmp_path: Path) -> None:
    found = mistakes(tmp_path / "none.toml")[""]

    assert found.place == str(tmp_path / "none.toml")
    assert "No such file" in found.problem


def test_a_section_that_is_a_value_is_a_mistake(tmp_path: Path) -> None:
    path = tmp_path / "agbot.toml"
    path.write_text("rules = 3\n", encoding="utf-8")

    assert mistakes(path)["rules"].line == 1


def test_the_environment_is_stronger_than_the_file(config: Path) -> None:
    environ = {
        "HZN_EXCHANGE_URL": "https://other.example.com/v1",
        "AGBOT_STORE_PATH": "/srv/agbot.db",
        "AGBOT_EXCHANGE_ORGANISATIONS": "a, b",
        "AGBOT_EXCHANGE_POLL_SECONDS": "4.5",
        "AGBOT_GATEWAY_QUIET_REFUSALS": "yes",
        "AGBOT_RULES_WINDOWS": "sat,sun 22:00-04:00; mon 01:00-02:00",
    }

    settings = load.load(config, environ).settings

    assert settings.exchange.url == "https://other.example.com/v1"
    assert settings.store.path == Path("/srv/agbot.db")
    assert settings.exchange.organisations == ("a", "b")
    assert settings.exchange.poll_seconds == 4.5
    assert settings.gateway.quiet_refusals
    assert tuple(map(str, settings.rules.windows)) == ("sat,sun 22:00-04:00", "mon 01:00-02:00")


def test_our_own_variable_is_stronger_than_that_of_open_horizon(config: Path) -> None:
    environ = {"HZN_EXCHANGE_URL": "https://hzn.example.com/v1", "AGBOT_EXCHANGE_URL": "https://own.example.com/v1"}

    assert load.load(config, environ).settings.exchange.url == "https://own.example.com/v1"


def test_an_empty_variable_is_no_value(config: Path) -> None:
    assert load.load(config, {"HZN_EXCHANGE_URL": ""}).settings.exchange.url.startswith("https://hub.")


def test_a_mistake_in_the_environment_names_the_variable(config: Path) -> None:
    found = mistakes(config, AGBOT_EXCHANGE_POLL_SECONDS="often", HZN_EXCHANGE_URL="hub")

    assert found["exchange.poll_seconds"].place == "$AGBOT_EXCHANGE_POLL_SECONDS"
    assert found["exchange.url"].place == "$HZN_EXCHANGE_URL"


def test_the_environment_mends_a_mistake_in_the_file(config: Path) -> None:
    add(config, 'poll_seconds = "often"\n')

    assert load.load(config, {"AGBOT_EXCHANGE_POLL_SECONDS": "7"}).settings.exchange.poll_seconds == 7.0


def test_a_variable_that_only_looks_like_a_setting_is_a_warning(config: Path) -> None:
    """Kubernetes sets AGBOT_GATEWAY_PORT for a service called agbot-gateway."""
    loaded = load.load(config, {"AGBOT_GATEWAY_PORT": "tcp://10.0.0.1:8083", "AGBOT_URL": "http://127.0.0.1:8084"})

    assert [each.variable for each in warned(loaded.warnings)] == ["AGBOT_GATEWAY_PORT"]


@pytest.mark.parametrize("key", ["url = 'http://hub.example.com/v1'", "x"])
def test_tokens_that_would_cross_the_network_readable_are_warned_of(tmp_path: Path, key: str) -> None:
    (tmp_path / "t").write_text("s3cret", encoding="utf-8")
    (tmp_path / "t").chmod(0o600)
    url = "http://hub.example.com/v1" if key != "x" else "http://127.0.0.1:3090/v1"
    environ = {
        "HZN_EXCHANGE_URL": url,
        "AGBOT_EXCHANGE_IDENTITY": "IBM/c",
        "AGBOT_EXCHANGE_TOKEN_FILE": str(tmp_path / "t"),
    }

    named = [each.key for each in warned(load.load(None, environ).warnings)]

    assert named == ([] if key == "x" else ["exchange.url"])


def test_an_open_secret_file_is_a_warning_and_an_empty_one_a_mistake(config: Path) -> None:
    token = config.parent / "token"
    token.chmod(0o644)
    assert [each.key for each in warned(load.load(config, {}).warnings)] == ["exchange.token_file"]

    token.write_text("\n", encoding="utf-8")
    assert "is empty" in mistakes(config)["exchange.token_file"].problem


def test_a_token_file_in_the_form_of_hzn_is_a_mistake(config: Path) -> None:
    """HZN_EXCHANGE_USER_AUTH holds org/id:token; here the identity stands in the settings."""
    (config.parent / "token").write_text("IBM/coordinator:s3cret", encoding="utf-8")

    assert "identity too" in mistakes(config)["exchange.token_file"].problem


def test_systemd_hands_over_the_secrets_that_no_key_names(config: Path, tmp_path: Path) -> None:
    config.write_text(GOOD.replace('token_file = "token"', ""), encoding="utf-8")
    handed_over = tmp_path / "credentials"
    handed_over.mkdir()
    (handed_over / "exchange-token").write_text("from-systemd", encoding="utf-8")
    (handed_over / "operator-token").write_text("for-people", encoding="utf-8")

    secrets = load.load(config, {"CREDENTIALS_DIRECTORY": str(handed_over)}).secrets

    assert secrets.exchange_token is not None
    assert secrets.exchange_token.reveal() == "from-systemd"
    assert secrets.operator_token is not None
    assert secrets.operator_token.reveal() == "for-people"


def test_a_check_before_the_daemon_has_its_credentials_only_warns(config: Path) -> None:
    config.write_text(GOOD.replace('token_file = "token"', ""), encoding="utf-8")

    reading = load.read(config, {}, may_lack_secrets=True)

    assert reading.mistakes == ()
    assert [each.key for each in warned(reading.warnings)] == ["exchange.token_file"]


def test_a_named_secret_that_is_missing_is_a_mistake_even_in_a_check(config: Path) -> None:
    (config.parent / "token").unlink()

    assert [each.key for each in load.read(config, {}, may_lack_secrets=True).mistakes] == ["exchange.token_file"]


def test_a_password_in_a_url_is_refused_and_not_repeated(config: Path) -> None:
    found = mistakes(config, HZN_EXCHANGE_URL="https://user:hunter2@hub.example.com/v1")["exchange.url"]

    assert "hunter2" not in str(found)


def test_every_key_has_a_variable_of_its_own() -> None:
    variables = [key.variables[0] for section in document.sections().values() for key in section.keys.values()]

    assert len(set(variables)) == len(variables)
    assert not [each for each in variables if each in os.environ]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[gateway]\nlisten = "127.0.0.1:8083"\n', ["agbot.secure_api"]),
        ('[gateway]\nlisten = "10.0.0.1:8083"\n', ["agbot.secure_api", "gateway.certificate_file"]),
        (
            '[agbot]\nsecure_api = "https://127.0.0.1:8082"\napi = ["http://127.0.0.1:8080"]\n',
            ["gateway.certificate_file"],
        ),
        ('[console]\nlisten = "127.0.0.1:8084"\n', ["agbot.secure_api", "gateway.certificate_file"]),
        ('[console]\nlisten = "[::1]:8084"\n', ["agbot.secure_api", "gateway.certificate_file"]),
        ('[console]\nlisten = "0.0.0.0:8084"\n', ["agbot.secure_api", "gateway.certificate_file", "console.listen"]),
    ],
)
def test_a_listener_that_other_machines_reach_in_clear_is_a_warning(config: Path, text: str, named: list[str]) -> None:
    add(config, text)

    assert [each.key for each in load.read(config, {}).warnings] == named


def test_every_bad_window_is_named(config: Path) -> None:
    add(config, '[rules]\nwindows = ["sat 25:00-04:00", "daily 01:00-02:00", "zat 22:00-04:00"]\n')

    problem = mistakes(config)["rules.windows"].problem

    assert '"25:00" is not a time of day' in problem
    assert '"zat" is not a weekday' in problem


@pytest.mark.parametrize("text", ["", 'secure_api = ""\n'])
def test_an_empty_upstream_is_a_warning_that_says_what_is_answered_then(config: Path, text: str) -> None:
    add(config, f"[agbot]\n{text}")

    (warning,) = (each for each in load.read(config, {}).warnings if each.key == "agbot.secure_api")

    assert "answered with 502" in warning.problem


def test_every_secret_that_other_users_can_read_is_warned_of(config: Path) -> None:
    tls = Path(__file__).parents[2] / "support" / "tls"
    for name in ("certificate.pem", "key.pem"):
        (config.parent / name).write_bytes((tls / name).read_bytes())
    (config.parent / "addresses").write_text("json://127.0.0.1:1/hook\n", encoding="utf-8")
    add(config, '[gateway]\ncertificate_file = "certificate.pem"\nkey_file = "key.pem"\n')
    add(config, '[console]\ntoken_file = "token"\n[notify]\naddresses_file = "addresses"\n')
    for name in ("token", "key.pem", "addresses"):
        (config.parent / name).chmod(0o644)

    found = load.read(config, {}).warnings

    assert {each.key for each in found if "is readable by every user (mode 644); make it 600" in each.problem} == {
        "exchange.token_file",
        "console.token_file",
        "gateway.key_file",
        "notify.addresses_file",
    }
