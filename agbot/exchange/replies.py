"""Interprets replies by their HTTP status, because their texts are localised.

A 404 is an answer only if it is the Exchange's own, with the empty collection or `{"code","msg"}`.
One from a proxy, or for an unknown route (a wrong base URL), must not look like an absence (P3): it
is `Failed`.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import TypeVar

import msgspec

from agbot.exchange import entries, wire
from agbot.exchange.credentials import Credentials, secrets_of
from agbot.exchange.errors import ExchangeError, Failed, Forbidden, Refused, Unreadable
from agbot.exchange.transport import Reply
from agbot.fleet.garbled import Garbled
from agbot.foreign_text import excerpt

_Body = TypeVar("_Body", bound=msgspec.Struct)
_Value = TypeVar("_Value")

_EXCERPT_CHARACTERS = 200
_CAME_CHARACTERS = 400
_READ_BYTES = 10 * _EXCERPT_CHARACTERS
_SUCCESS = {HTTPStatus.OK, HTTPStatus.CREATED}  # searches and the change feed answer 201
_OF_THE_DAEMON = "the daemon's: [exchange] identity and token_file, or the credential exchange-token"
_A_RECORD = "it is an answer of the Exchange with an unreadable record: check that record, and correct or delete it"
_UNKNOWN_ROUTE = "unrecognized route"
_IS_IT_THE_EXCHANGE = "check that [exchange] url is the Exchange's base URL, ending in /v1"


class Answered:
    """One reply and its request."""

    def __init__(self, method: str, path: str, credentials: Credentials | None, reply: Reply) -> None:
        self._method = method
        self._path = path
        self._credentials = credentials
        self._reply = reply

    def text(self) -> str:
        """Return a plain text.

        Raises:
            ExchangeError: any status but success.
        """
        if self._reply.status not in _SUCCESS:
            raise self._refusal()
        return self._reply.body.decode(errors="replace").strip()

    def read(self, shape: type[_Body], meaning: Callable[[_Body], _Value]) -> _Value:
        """Decode a reply that must exist.

        Raises:
            ExchangeError: any status but success, or not the expected JSON.
        """
        if self._reply.status not in _SUCCESS:
            raise self._refusal()
        return self._decoded(shape, meaning)

    def read_or_none(self, shape: type[_Body], meaning: Callable[[_Body], _Value]) -> _Value | None:
        """Decode a reply whose 404 means an absence.

        Raises:
            ExchangeError: any other status, a 404 that is not the Exchange's own, or not the
                expected JSON.
        """
        if self._reply.status == HTTPStatus.NOT_FOUND:
            if self._says_nothing_there(shape):
                return None
            raise self._refusal()
        return self.read(shape, meaning)

    def _decoded(self, shape: type[_Body], meaning: Callable[[_Body], _Value]) -> _Value:
        try:
            return meaning(self._parsed(shape))
        except entries.NOT_JSON as error:
            came = f"an unexpected answer ({self._reply.status}): {Garbled.by(error).why}"
            raise self._error(Unreadable, came, _A_RECORD if self._is_json_object() else _IS_IT_THE_EXCHANGE) from error

    def _parsed(self, shape: type[_Body]) -> _Body:
        try:
            return msgspec.json.decode(self._reply.body, type=shape)
        except entries.NOT_JSON:
            # one entry may have stopped the parser: without it, the others can be read
            mended = entries.mended(self._reply.body)
            if mended == self._reply.body:
                raise
            return msgspec.json.decode(mended, type=shape)

    def _is_json_object(self) -> bool:
        """Whether it looks like an answer of an Exchange, so that the address is right."""
        body = self._reply.body.strip()
        return body.startswith(b"{") and body.endswith(b"}") and len(body) > len(b"{}")

    def _says_nothing_there(self, shape: type[_Body]) -> bool:
        body = self._reply.body
        try:
            response = msgspec.json.decode(body, type=wire.ApiResponse)
        except entries.NOT_JSON:
            pass
        else:
            # the one text that is compared: a wrong base URL must not look like an empty hub (P3)
            return response.msg != _UNKNOWN_ROUTE
        try:
            collection = msgspec.json.decode(body, type=shape)
        except entries.NOT_JSON:
            return False
        return not any(getattr(collection, name) for name in shape.__struct_fields__)

    def _refusal(self) -> ExchangeError:
        status = self._reply.status
        who = self._credentials.identity if self._credentials else "the anonymous caller"
        came = f"the answer is {status} {self._excerpt()}".rstrip()
        if status == HTTPStatus.UNAUTHORIZED:
            return self._error(Refused, came, f"check the identity and the secret of {who} ({_OF_THE_DAEMON})")
        if status == HTTPStatus.FORBIDDEN:
            return self._error(
                Forbidden, came, f"{who} may not do this: use an agbot's identity, in org IBM for other organisations"
            )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return self._error(Failed, came, "check the Exchange's log; the request is retried")
        if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
            return self._error(Failed, came, "redirects are not followed: name the final address in [exchange] url")
        return self._error(Failed, came, _IS_IT_THE_EXCHANGE)

    def _error(self, kind: type[ExchangeError], came: str, what_next: str) -> ExchangeError:
        # a decoder's error may repeat what it read
        shown = excerpt(came, secrets_of(self._credentials), _CAME_CHARACTERS)
        return kind(self._method, self._path, shown, what_next, status=self._reply.status)

    def _excerpt(self) -> str:
        """Return the beginning of the body in one printable line, without secrets."""
        text = self._reply.body[:_READ_BYTES].decode(errors="replace")
        return excerpt(text, secrets_of(self._credentials), _EXCERPT_CHARACTERS)
