"""The operator token, which the commands that change something send."""

from __future__ import annotations

from pathlib import Path

from agbot.cli.failure import Failure, bad_secret
from agbot.cli.folding import say
from agbot.settings import secret
from agbot.settings.secret import Secret


def read(path: Path) -> Secret:
    """Read the operator token.

    Raises:
        Failure: there is none that this user may read.
    """
    try:
        found = secret.read(path)
    except secret.SecretError as error:
        denied = isinstance(error.__cause__, PermissionError)
        raise Failure(
            bad_secret(error),
            tried=f"reading the operator token from {path}",
            problem=str(error),
            next_step="run it as a user who may read that file (sudo)"
            if denied
            else "name the file: --token-file or AGBOT_OPERATOR_TOKEN_FILE",
        ) from error
    if found.warning:
        say(f"agbot: warning: {found.warning}", err=True)
    return found.secret
