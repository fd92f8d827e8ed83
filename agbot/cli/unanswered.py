"""What a command says when the coordinator has not answered, or not completely.

A request that changes something may have been carried out if it was sent: that is not a failure
which may be repeated without looking.
"""

from __future__ import annotations

import socket
import ssl
from typing import Final

from agbot.cli.failure import Exit, Failure

_NO_TLS: Final = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"}
"""What OpenSSL says of an answer that is not TLS."""


def no_answer(url: str, tried: str, error: Exception, seconds: float, *, may_be_done: bool) -> Failure:
    """Return the failure of a request by the error of its connection."""
    problem = f"the coordinator at {url} cannot be reached: {_reason(error, seconds)}"
    if may_be_done:
        return Failure(
            Exit.UNREACHABLE,
            tried=tried,
            problem=f"{problem}. The request was sent, and may have been carried out",
            next_step="see `agbot orders` and `agbot history` before you repeat it",
        )
    return Failure(
        Exit.UNREACHABLE,
        tried=tried,
        problem=problem,
        next_step="is it running (systemctl status agbot), and is this its [console] listen? Another address: --url or AGBOT_URL",
    )


def _reason(error: Exception, seconds: float) -> str:
    if isinstance(error, ssl.SSLError) and error.reason in _NO_TLS:
        return "it does not speak TLS: try http:// instead of https://"
    # before the others: it is an OSError, mostly without a text
    if isinstance(error, TimeoutError):
        return f"no answer within {seconds:g} s"
    if isinstance(error, socket.gaierror):
        return "the host name cannot be resolved"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
