"""Checks the two listeners: each address is free, or the running coordinator answers there."""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import aiohttp
from yarl import URL

from agbot.coordinator.contract import Overview
from agbot.doctor.finding import Finding, ok, warning, wrong
from agbot.listening import binding
from agbot.settings.hosts import bracketed, host_and_port, is_loopback
from agbot.settings.model import Settings

_SECONDS: Final = 5.0
_QUESTION: Final = "/org/doctor/hagroup/doctor/nodemanagement/%2F/doctor"
"""No node's name has a slash, so the gateway answers 400 before any login, on standby too."""
_BAD_REQUEST: Final = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Daemon:
    """What is known of the running daemon."""

    overview: Overview | None
    """None: it does not answer."""
    url: str
    problem: str = ""
    """Why it does not."""


async def check(settings: Settings, daemon: Daemon) -> tuple[Finding, ...]:
    """Check both listeners."""
    return (await _console(settings, daemon), await _gateway(settings, daemon))


async def _console(settings: Settings, daemon: Daemon) -> Finding:
    listen = settings.console.listen
    if daemon.overview is not None and not _is_at(daemon.url, listen):
        text = f"{daemon.url} answers, which is not the address in these settings, {listen}"
        step = "if that is another coordinator, unset AGBOT_URL or --url: its answers are mixed with these settings"
        return warning("console", text, next_step=step)
    if daemon.overview is not None:
        return ok("console", f"the coordinator answers at {daemon.url}")
    why, step = why_not_free(listen)
    if not why:
        return ok("console", f"no coordinator runs; {listen} is free for it")
    no_answer = daemon.problem or "it is not the coordinator"
    return wrong("console", f"{listen}: {why}, and {no_answer}", tried=f"GET {daemon.url}", next_step=step)


async def _gateway(settings: Settings, daemon: Daemon) -> Finding:
    listen = settings.gateway.listen
    runs = daemon.overview.mode if daemon.overview is not None else settings.run.mode
    if runs == "shadow":
        return ok("gateway", "shadow mode listens for no agents")
    why, step = why_not_free(listen)
    if daemon.overview is None:
        return wrong("gateway", f"{listen}: {why}", next_step=step) if why else ok("gateway", f"{listen} is free")
    scheme = "https" if settings.gateway.certificate_file else "http"
    url = own_url(listen, scheme)
    status = await _ask(url + _QUESTION)
    if status == str(_BAD_REQUEST):
        return ok("gateway", f"answers questions at {listen}")
    step = "agents cannot ask: see the log (journalctl -u agbot)"
    return wrong("gateway", f"{listen}: {status}", tried=f"a question with an invalid name to {url}", next_step=step)


def _is_at(url: str, listen: str) -> bool:
    """Whether this address surely leads to our own listener; a proxy may lead there too."""
    parts, own = urlsplit(url), urlsplit(own_url(listen))
    host, own_host = parts.hostname or "", own.hostname or ""
    return parts.port == own.port and (host == own_host or (is_loopback(host) and is_loopback(own_host)))


def own_url(listen: str, scheme: str = "http") -> str:
    """Return how this machine reaches its own listener, over loopback if that is everywhere."""
    host, port = host_and_port(listen)
    reached = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - replaced, not bound
    return f"{scheme}://{bracketed(reached)}:{port}"


async def _ask(url: str) -> str:
    """Return the status of the answer, or the error."""
    timeout = aiohttp.ClientTimeout(total=_SECONDS)
    try:
        # the certificate is checked elsewhere; its name need not be that of this machine
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.post(URL(url, encoded=True), ssl=False, allow_redirects=False) as reply,
        ):
            return str(reply.status)
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        return f"no answer ({type(error).__name__})"


def why_not_free(listen: str) -> tuple[str, str]:
    """Return why this address cannot be listened on, and what to do; both empty if it can."""
    try:
        bound(listen)
    except socket.gaierror as error:
        return f"the host name cannot be resolved ({error.strerror})", "set an address of this machine"
    except OSError as error:
        why = "it is in use" if error.errno == errno.EADDRINUSE else (error.strerror or str(error)).lower()
        return why, binding.NEXT_STEPS.get(error.errno or 0, "set another address")
    return "", ""


def bound(listen: str) -> None:
    """Bind every address of this host, as the daemon would. Nothing stays open.

    Raises:
        OSError: it cannot be listened on.
    """
    for address in binding.addresses(*host_and_port(listen)):
        binding.bound(address).close()
