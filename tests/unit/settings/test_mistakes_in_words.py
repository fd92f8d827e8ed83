"""A mistake says where a key belongs, everything that is wrong with a value, and nothing in OpenSSL's words."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from agbot.delivery.mqtt_connection import tls_context
from agbot.gateway.certificate import Certificate
from tests.support.authority import made, openssl
from tests.unit.settings.test_load import GOOD, add, config, mistakes

__all__ = ["config"]


@pytest.mark.parametrize(
    ("key", "problem", "expected"),
    [
        ("url", 'the key "url" is above all sections', "move it below [exchange] or [store]"),
        ("poll_seconds", 'the key "poll_seconds" is above all sections', "move it below [exchange]"),
        ("token", 'did you mean "token_file"?', "move it below [exchange] or [console]"),
    ],
)
def test_a_key_above_all_sections_is_led_to_its_section(config: Path, key: str, problem: str, expected: str) -> None:
    config.write_text(f'{key} = "x"\n{GOOD}', encoding="utf-8")

    found = mistakes(config)[key]

    assert (found.line, problem in found.problem, found.expected) == (1, True, expected)


def test_a_key_of_another_section_is_led_there(config: Path) -> None:
    add(config, 'listen = "127.0.0.1:8083"\n')

    found = mistakes(config)["exchange.listen"]

    assert (found.problem, found.expected) == ('[exchange] has no key "listen"', "move it below [gateway] or [console]")


def test_a_missing_key_is_reported_with_the_file_that_lacks_it(config: Path) -> None:
    config.write_text("[exchange]\n", encoding="utf-8")

    assert mistakes(config)["exchange.url"].place == str(config)


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        ('[webhook]\nurls = ["http://u:p@h/x?y=1", "ftp://x"]\n', ["a user or password", '"ftp://x" does not begin']),
        ('[rules]\nwindows = ["25:00-26:00", 3]\n', ['"25:00-26:00" has 1 part; ', "3 is a whole number, not text"]),
        ('[rules]\nwindows = ["sat,sum 22:00-04:00 Europe/Berlim"]\n', ['"sum" is not', '"Europe/Berlim" is not']),
        ('[notify]\nevents = ["a.b", "c.d"]\n', ['"a.b" is not', '"c.d" is not']),
        ('[gateway]\nlisten = "127.0.0.1:99999"\n', ["has the port 99999; the highest is 65535"]),
        ('[run]\nmode = "random"\n', ['"random" is not one of gateway, shadow']),
    ],
)
def test_everything_that_is_wrong_with_a_value_is_stated(config: Path, text: str, stated: list[str]) -> None:
    add(config, text)

    [found] = mistakes(config).values()

    assert [each for each in stated if each not in found.problem] == []


def test_a_byte_order_mark_is_no_mistake(config: Path) -> None:
    config.write_text(f"\ufeff{GOOD}", encoding="utf-8")

    assert mistakes(config) == {}


@pytest.mark.parametrize(
    ("certificate", "key", "stated"),
    [
        ("one.pem", "other.key", "does not belong to the certificate"),
        ("one.pem", "encrypted.key", "is encrypted, and a start cannot ask for its password"),
        ("one.key", "one.key", "contains no certificate"),
        ("one.pem", "one.pem", "contains no private key"),
    ],
)
def test_why_certificate_and_key_do_not_fit_is_in_plain_words(
    config: Path, certificate: str, key: str, stated: str
) -> None:
    one, _ = made(config.parent / "tls", "one"), made(config.parent / "tls", "other")
    locked = one.key.with_name("encrypted.key")
    command = [openssl(), "pkey", "-in", str(one.key), "-aes256", "-passout", "pass:x", "-out", str(locked)]
    subprocess.run(command, check=True)
    add(config, f'[gateway]\ncertificate_file = "tls/{certificate}"\nkey_file = "tls/{key}"\n')

    found = mistakes(config)["gateway.key_file"]

    assert stated in found.problem
    assert "SSL" not in found.problem
    assert found.expected
    files = config.parent / "tls" / certificate, config.parent / "tls" / key
    with pytest.raises(OSError, match=re.escape(stated)):
        Certificate(*files)  # of the gateway, also where a key was renewed after that check
    with pytest.raises(OSError, match=re.escape(stated)):
        tls_context(None, *files)
