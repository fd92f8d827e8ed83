"""Who asks which Exchange."""

from __future__ import annotations

import pytest

from agbot.cli.failure import Failure
from agbot.cli.hzn.environment import Asker, Options, asker, complete

FULL = {"HZN_ORG_ID": "o1", "HZN_EXCHANGE_USER_AUTH": "u:pw", "HZN_EXCHANGE_URL": "http://hub/v1/"}


def who(options: Options | None = None, **environ: str) -> Asker:
    return asker(options or Options(), {**FULL, **environ})


@pytest.mark.parametrize(
    ("given", "identity", "secret"),
    [
        ("u:pw", "o1/u", "pw"),
        ("o2/u:p:w/x", "o2/u", "p:w/x"),
        ("iamapikey:k", "o1/iamapikey", "k"),
        ("a@b.c:pw", "o1/a@b.c", "pw"),
    ],
)
def test_the_organisation_is_put_before_a_bare_name(given: str, identity: str, secret: str) -> None:
    found = who(HZN_EXCHANGE_USER_AUTH=given).credentials

    assert (found.identity, found.secret) == (identity, secret)


def test_an_option_goes_before_the_environment_and_a_user_before_a_node() -> None:
    both = Options(org="o2", user="v:pw", node="n1:tok")

    assert who(both, HZN_EXCHANGE_NODE_AUTH="n9:tok").credentials.identity == "o2/v"
    assert who(Options(node="n1:tok")).credentials.identity == "o1/n1"
    assert who(HZN_EXCHANGE_NODE_AUTH="n9:tok").credentials.identity == "o1/u"


def test_the_environment_goes_before_the_file_and_credentials_are_not_read_from_it() -> None:
    file = "HZN_ORG_ID=o9\nexport HZN_EXCHANGE_URL='http://file/v1'\nHZN_EXCHANGE_USER_AUTH=a:b\n#HZN_MGMT_HUB_CERT_PATH=/x\n"

    found = complete({"HZN_ORG_ID": "o1", "HZN_EXCHANGE_URL": ""}, file)

    assert found == {"HZN_ORG_ID": "o1", "HZN_EXCHANGE_URL": "http://file/v1"}


@pytest.mark.parametrize(("text", "seconds"), [("", 30.0), ("5", 5.0), ("0", 30.0), ("soon", 30.0)])
def test_the_time_for_a_request_is_hzns(text: str, seconds: float) -> None:
    assert who(HZN_HTTP_TIMEOUT=text).request_seconds == seconds


def test_the_secret_shows_in_no_error() -> None:
    with pytest.raises(Failure) as caught:
        asker(Options(), {"HZN_ORG_ID": "o1", "HZN_EXCHANGE_USER_AUTH": ":hidden-word"})

    assert "hidden-word" not in f"{caught.value} {caught.value.problem} {caught.value.next_step}"
