"""Reads the secrets that belong to the settings, each from the file of a key or of systemd."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from agbot.settings import addresses, model, secret
from agbot.settings.draft import Draft
from agbot.settings.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Secrets:
    """The secrets that belong to the settings; None where there is none."""

    exchange_token: Secret | None = None
    operator_token: Secret | None = None
    mqtt_password: Secret | None = None
    webhook_secret: Secret | None = None
    notify_addresses: tuple[Secret, ...] = ()
    store_password: Secret | None = None


def read_secrets(
    settings: model.Settings, environ: Mapping[str, str], folder: Path | None, draft: Draft, *, may_lack: bool
) -> Secrets:
    """Read the secrets of these settings, and note what is wrong with their files."""

    def find(key: str, file: Path | None, credential: str, *, is_used: bool = True) -> Secret | None:
        if file is None and not is_used:
            return None  # a file that is left beside the settings must not keep the daemon from starting
        path = secret.where(file, credential, environ, folder)
        # systemd's copies belong to the service alone, whatever their mode.
        is_copy = file is None and secret.has_credentials(environ)
        return _read_secret(key, path, draft, may_lack=may_lack, may_be_open=is_copy)

    mqtt, store, webhook = settings.mqtt, settings.store, settings.webhook
    later = may_lack and not secret.has_credentials(environ)
    exchange = find("exchange.token_file", settings.exchange.token_file, secret.EXCHANGE_TOKEN)
    operator = find("console.token_file", settings.console.token_file, secret.OPERATOR_TOKEN)
    password = find("mqtt.password_file", mqtt.password_file, secret.MQTT_PASSWORD, is_used=bool(mqtt.host))
    database = find("store.password_file", store.password_file, secret.STORE_PASSWORD, is_used=bool(store.url))
    signer = find("webhook.secret_file", webhook.secret_file, secret.WEBHOOK_SECRET, is_used=bool(webhook.urls))
    if exchange is None and not draft.is_wrong("exchange.token_file") and not settings.exchange.token_file:
        expected = f"a file, LoadCredential={secret.EXCHANGE_TOKEN}:… in the unit, or {secret.EXCHANGE_TOKEN} beside the settings"
        _note_lack(
            "exchange.token_file", "there is no token for the coordinator's identity", expected, draft, later=later
        )
    if exchange is not None and exchange.reveal().startswith(f"{settings.exchange.identity or '/'}:"):
        draft.note("exchange.token_file", "the file contains the identity too", "the token alone, without org/name:")
    if webhook.urls and signer is None and not webhook.secret_file:
        expected = f"a file, or LoadCredential={secret.WEBHOOK_SECRET}:… in the unit"
        _note_lack("webhook.secret_file", "there is no secret to sign with", expected, draft, later=later)
    return Secrets(
        exchange_token=exchange,
        operator_token=operator,
        mqtt_password=password,
        webhook_secret=signer,
        store_password=database,
        notify_addresses=_read_addresses(settings, environ, folder, draft, may_lack=may_lack),
    )


def _note_lack(key: str, lack: str, expected: str, draft: Draft, *, later: bool) -> None:
    """Note a secret that is not there; `later`: a service may still get it from systemd."""
    start = (
        "the daemon does not start without it, unless its unit provides it"
        if later
        else "systemd has provided no credential"
    )
    draft.note(key, f"{lack}: the key is not set, and {start}", expected, is_warning=later)
    draft.lacking += [key] if later else []


def _read_addresses(
    settings: model.Settings, environ: Mapping[str, str], folder: Path | None, draft: Draft, *, may_lack: bool
) -> tuple[Secret, ...]:
    key = "notify.addresses_file"
    path = secret.where(settings.notify.addresses_file, secret.NOTIFY_ADDRESSES, environ, folder)
    if path is None:
        return ()
    expected = "one address of Apprise per line"
    try:
        found, wrong = addresses.read(path)
    except secret.SecretError as error:
        _note_unread(key, error, expected, draft, may_lack=may_lack)
        return ()
    for problem in wrong:
        draft.note(key, problem, expected)
    is_copy = settings.notify.addresses_file is None and secret.has_credentials(environ)
    warning = "" if is_copy else secret.why_open(path)
    if found and warning:
        draft.note(key, warning, secret.closed(path), is_warning=True)
    return tuple(found)


def _read_secret(key: str, path: Path | None, draft: Draft, *, may_lack: bool, may_be_open: bool) -> Secret | None:
    if path is None or draft.is_wrong(key):
        return None
    try:
        found = secret.read(path)
    except secret.SecretError as error:
        _note_unread(key, error, "a readable file with one token", draft, may_lack=may_lack)
        return None
    if found.warning and not may_be_open:
        draft.note(key, found.warning, secret.closed(found.path), is_warning=True)
    return found.secret


def _note_unread(key: str, error: secret.SecretError, expected: str, draft: Draft, *, may_lack: bool) -> None:
    """Note a file that cannot be used."""
    # The daemon may be allowed to read what this user may not. A file that is missing or not a
    # token is so for the daemon too.
    is_warning = may_lack and isinstance(error.__cause__, PermissionError)
    draft.note(key, str(error), expected, is_warning=is_warning)
    draft.lacking += [key] if is_warning else []
