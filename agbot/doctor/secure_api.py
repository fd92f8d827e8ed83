"""Checks the real agbot's secure API, to which the gateway passes other requests."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final

import aiohttp

from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.foreign_text import unanswered

_CHECK: Final = "secure API"
_SECONDS: Final = 5.0
_ROUTE: Final = "/deploycheck/policycompatible"
"""Every agbot answers OPTIONS there without a login, with the methods (anax, `secure_api.go`)."""


async def check(url: str, ca_file: Path | None) -> tuple[Finding, ...]:
    """Check that an agbot answers there; nothing if it is not set."""
    if not url:
        return ()
    tried = f"OPTIONS {url.rstrip('/')}{_ROUTE}"
    try:
        trust = ssl.create_default_context(cafile=ca_file)
        timeout = aiohttp.ClientTimeout(total=_SECONDS)
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.options(f"{url.rstrip('/')}{_ROUTE}", ssl=trust, allow_redirects=False) as reply,
        ):
            status, allowed = reply.status, reply.headers.get("Allow", "")
    except aiohttp.ClientConnectorCertificateError as error:
        step = "name the authority that signed it: [agbot] secure_api_ca_file"
        why = getattr(error.certificate_error, "verify_message", "") or str(error.certificate_error)
        return (wrong(_CHECK, f"its certificate is not accepted: {why}", tried=tried, next_step=step),)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        step = "start the agbot, or correct [agbot] secure_api: until then such requests are answered with 502"
        why = f"no answer within {_SECONDS:g} s" if isinstance(error, TimeoutError) else unanswered(error)
        return (wrong(_CHECK, why, tried=tried, next_step=step),)
    if status == 200 and "GET" in allowed:  # noqa: PLR2004 - HTTP's OK
        return (ok(_CHECK, f"answers at {url}"),)
    step = "check that [agbot] secure_api is the agbot's SecureAPIListenHost and port, or a proxy that passes all on"
    return (warning(_CHECK, f"the answer is {status}, which is not that of an agbot", tried=tried, next_step=step),)
