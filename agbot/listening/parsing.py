"""The parser of both listeners: aiohttp's pure Python parser, with limits on its cost.

aiohttp's C parser answers the method `LIST`, which the agbot's secret routes use, with 400; the
pure Python one accepts it. It is not made for hostile data: it copies the rest of a read for each
chunk, so that 256 kB of one-byte chunks take seconds, in which no other request is answered. Here
it gets the data in small pieces. A body with too much framing is refused, and so are long runs of
blank lines. After a refusal the parser reads no further.

The rule kept here: how the data are cut into reads changes nothing. aiohttp's parser loses the
requests of a read in which another one is malformed, and refuses a request with `Connection: close`
if anything follows it in the same read. Here no piece has more than one head.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.http_parser import HttpPayloadParser, HttpRequestParserPy, ParseState, RawRequestMessage
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestPayloadError, _ErrInfo
from yarl import URL

_HEAD_FIELDS = 4
"""The size of a whole head, in multiples of the largest field."""
_PIECE_BYTES = 1024
"""The bytes that are parsed in one step: 170 one-byte chunks, about 1 ms."""
_FRAMING_BYTES = 2048
"""The framing that any chunked body may have: sizes, extensions, line ends and trailers."""
_FRAMING_SHARE = 8
"""A body may have one part in this many of its size as further framing. Chunks of 50 bytes on
average stay below."""
_BLANK_BYTES = 16
"""Bytes of line ends before a request. RFC 9112 2.2 requires that one line end is ignored."""
_LINE_ENDS = re.compile(rb"(?:\r\n)+")
_NO_URL = URL("/")

_Message = RawRequestMessage | _ErrInfo
_Fed = tuple[list[tuple[_Message, StreamReader]], bool, bytes]
"""The messages with complete heads, whether the protocol changes, and the unparsed rest."""
TakesChunks = Callable[[str, str], bool]
"""Whether a request may have a chunked body, by its method and raw target."""


class ChunkedBodyError(BadHttpMessage):
    """A chunked body came where none is allowed."""


class Parser(HttpRequestParserPy):
    """The pure Python parser with limits."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - passed on unchanged
        takes_chunks: TakesChunks,
        **kwargs: Any,  # noqa: ANN401 - passed on unchanged
    ) -> None:
        super().__init__(*args, **kwargs)
        self._takes_chunks = takes_chunks
        self._blank_bytes = 0
        self._body: HttpPayloadParser | None = None
        self._wire_bytes = 0
        self._is_last = False
        """Whether the client sends no request after this one."""
        self._has_ended = False
        """Whether all further data are ignored: after a refusal, or the last request."""

    def parse_message(self, lines: list[bytes]) -> RawRequestMessage:
        """Parse a head, and refuse a target of which aiohttp cannot make a URL."""
        try:
            message = super().parse_message(lines)
        except ValueError as error:
            raise BadHttpMessage("the request target cannot be read") from error
        if message.chunked and not self._takes_chunks(message.method, message.path):
            raise ChunkedBodyError("a request of this kind has no chunked body")
        # We use only the raw target, so the URL of an absolute target is replaced. aiohttp would
        # read its host later, where an error (a host that is no domain name) ends the connection's
        # task and leaves the client waiting without limit.
        return message._replace(url=_NO_URL) if message.url.absolute else message

    def feed_data(  # type: ignore[override]  # the connection takes a refusal as a message too
        self,
        data: bytes,
        *args: Any,  # noqa: ANN401 - passed on unchanged
        **kwargs: Any,  # noqa: ANN401 - passed on unchanged
    ) -> _Fed:
        """Parse received data, piece by piece.

        The last message is a refusal if the data are not HTTP or cost too much.
        """
        if not data:  # what was kept while too many requests waited
            data, self._tail = self._tail, b""
        messages: list[tuple[_Message, StreamReader]] = []
        rest: list[bytes] = []
        is_upgraded = False
        try:
            while not self._has_ended:
                size = self._piece_bytes(data)
                piece, data = data[:size], data[size:]
                found, is_upgraded, left = super().feed_data(self._without_blank_lines(piece), *args, **kwargs)
                messages += found
                rest.append(left)
                self._check_head()
                self._check_framing(len(piece))
                self._is_last = self._is_last or any(message.should_close for message, _ in found)
                self._has_ended = self._is_last and self._payload_parser is None
                if not data:
                    break
        except HttpProcessingError as error:
            self._has_ended = True
            messages.append((_ErrInfo(status=error.code, exc=error, message=error.message), EMPTY_PAYLOAD))
        return messages, is_upgraded, b"".join(rest)

    def _piece_bytes(self, data: bytes) -> int:
        """Return the size of the next step. A plain body and queued data cost nothing."""
        body = self._payload_parser
        if body is None:
            is_full = self._msg_in_flight >= self._max_msg_queue_size
            return len(data) if self._upgraded or is_full else self._head_bytes(data)
        if body._type is ParseState.PARSE_LENGTH:  # noqa: SLF001 - no public attribute
            # A body leaves the parser with its last byte. Should one stay, as of another version of
            # aiohttp, an empty piece would be parsed again without end, and nothing else done.
            return max(body._length, 1)  # noqa: SLF001 - see above
        return _PIECE_BYTES

    def _head_bytes(self, data: bytes) -> int:
        """Return how much of the data at most is of the present head: one byte or more."""
        # the end of a head may have begun in an earlier piece
        before = ((b"\r\n" if self._lines else b"") + self._tail)[-3:]
        end = (before + data[:_PIECE_BYTES]).find(b"\r\n\r\n")
        return _PIECE_BYTES if end < 0 else end + 4 - len(before)

    def _without_blank_lines(self, piece: bytes) -> bytes:
        """Remove line ends before a request, which the parser would read one by one."""
        if self._lines or self._payload_parser is not None or self._upgraded:
            return piece
        whole, self._tail = self._tail + piece, b""
        blank = _LINE_ENDS.match(whole)
        skipped = blank.end() if blank else 0
        self._blank_bytes += skipped
        if self._blank_bytes > _BLANK_BYTES:
            raise BadHttpMessage("too many blank lines before a request")
        if len(whole) - skipped > 1:  # more than the first byte of the next line end
            self._blank_bytes = 0
        return whole[skipped:]

    def _check_head(self) -> None:
        if self._lines and sum(map(len, self._lines)) > _HEAD_FIELDS * self.max_field_size:
            raise LineTooLong(b"the head of the request", _HEAD_FIELDS * self.max_field_size)

    def _check_framing(self, arrived_bytes: int) -> None:
        """Compare the content of a chunked body with its bytes on the wire.

        Raises:
            BadHttpMessage: it is mostly framing. The reader of the body gets an error too.
        """
        body = self._payload_parser
        if body is None or body._type is not ParseState.PARSE_CHUNKED:  # noqa: SLF001 - no public attribute
            self._body = None
            return
        payload = body.payload
        if not isinstance(payload, StreamReader):  # nothing is decompressed here
            raise TypeError("a body is read without decompression")
        if body is not self._body:  # the piece began with its head, of unknown size
            self._body, self._wire_bytes = body, 0
            return
        self._wire_bytes += arrived_bytes
        held = payload.total_bytes
        framing = self._wire_bytes - held - len(body._chunk_tail)  # noqa: SLF001 - not parsed yet
        if framing > _FRAMING_BYTES + held // _FRAMING_SHARE:
            message = "the chunks of the body are too small for their number"
            payload.set_exception(RequestPayloadError(message))
            raise BadHttpMessage(message)
