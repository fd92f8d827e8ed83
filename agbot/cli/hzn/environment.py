"""The Exchange and the credentials: options, environment, `/etc/default/horizon`, as in `hzn`.

See `agbot-ha.md` 6.1. Pure: the environment is a mapping, and the file's content a text.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agbot.cli.failure import Exit, Failure
from agbot.exchange.administration import REQUEST_SECONDS
from agbot.exchange.credentials import Credentials

LAST_RESORT = Path("/etc/default/horizon")
"""A file of the agent's installation. Only the three settings below are read from it, never
credentials."""
_FROM_FILE = ("HZN_EXCHANGE_URL", "HZN_ORG_ID", "HZN_MGMT_HUB_CERT_PATH")
_ASSIGNMENT = re.compile(r"^\s*(?:export\s+)?([A-Z_]+)=(.*?)\s*$", re.MULTILINE)


class MissingError(Failure):
    """The organisation, the credentials or the Exchange's address is not given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """The options of a command that name an organisation and credentials."""

    org: str | None = None
    user: str | None = None
    node: str | None = None
    """A node's credentials; only `list` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """An Exchange, and the credentials to use there."""

    url: str
    org: str
    """The organisation of bare names."""
    credentials: Credentials
    ca_file: Path | None
    is_checked: bool
    """Whether the Exchange's certificate is verified; HZN_SSL_SKIP_VERIFY disables that."""
    request_seconds: float


def complete(environ: Mapping[str, str], file: str) -> dict[str, str]:
    """Complete the environment from the file."""
    # an empty variable counts as not set, and leaves room for the one of the file
    settings = {name: value.strip("\"'") for name, value in _ASSIGNMENT.findall(file)}
    return {name: settings[name] for name in _FROM_FILE if settings.get(name)} | {
        name: value for name, value in environ.items() if value
    }


def asker(options: Options, environ: Mapping[str, str]) -> Asker:
    """Return the Exchange and the credentials.

    Raises:
        Failure: the first that is missing, in the order of `hzn`: organisation, credentials, URL.
    """
    org = options.org or environ.get("HZN_ORG_ID", "")
    if not org:
        raise _missing(Exit.BAD_INPUT, "there is no organisation", "give -o ORG or set HZN_ORG_ID")
    credentials = _credentials(options, environ, org)
    url = environ.get("HZN_EXCHANGE_URL", "").rstrip("/")
    if not url:
        next_step = f"set it, e.g. to https://hub.example.com/edge-exchange/v1, here or in {LAST_RESORT}"
        raise _missing(Exit.REFUSED, "HZN_EXCHANGE_URL is not set", next_step)
    ca_file = environ.get("HZN_MGMT_HUB_CERT_PATH") or environ.get("HZN_ICP_CA_CERT_PATH")
    return Asker(
        url=url,
        org=org,
        credentials=credentials,
        ca_file=Path(ca_file) if ca_file else None,
        is_checked=not environ.get("HZN_SSL_SKIP_VERIFY"),
        request_seconds=_seconds(environ.get("HZN_HTTP_TIMEOUT", "")),
    )


def _credentials(options: Options, environ: Mapping[str, str], org: str) -> Credentials:
    given = (
        options.user or options.node or environ.get("HZN_EXCHANGE_USER_AUTH") or environ.get("HZN_EXCHANGE_NODE_AUTH")
    )
    if not given:
        raise _missing(
            Exit.BAD_INPUT,
            "no credentials were given",
            "give -u USER:PASSWORD (or -n NODE:TOKEN with list), or set HZN_EXCHANGE_USER_AUTH or HZN_EXCHANGE_NODE_AUTH",
        )
    identity, colon, secret = given.partition(":")  # at the first one: a secret may have more
    if not colon or not identity or not secret:
        raise _missing(
            Exit.BAD_INPUT,
            "the credentials are not of the form [org/]name:secret",
            "write them as USER:PASSWORD or ORG/USER:PASSWORD (iamapikey:KEY for an API key)",
        )
    return Credentials(identity=identity if "/" in identity else f"{org}/{identity}", secret=secret)


def _seconds(text: str) -> float:
    is_number = text.isascii() and text.isdigit()
    return float(text) if is_number and float(text) > 0 else REQUEST_SECONDS


def _missing(code: Exit, problem: str, next_step: str) -> MissingError:
    return MissingError(
        code, tried="determining the Exchange and the credentials", problem=problem, next_step=next_step
    )
