"""The parser of both listeners: aiohttp's pure Python one, with a bound on what it may cost.

aiohttp's C parser answers the method `LIST`, which the agbot's secret routes use, with 400; the pure Python one takes it. It is made for
data that comes in good faith: it copies what is left of a read for each chunk, so that 256 kB of one-byte chunks take it seconds, in which
nobody else is served. Here it is fed in small pieces, and a body whose framing is out of proportion is refused, as are long rows of blank
lines. What has been refused once is read no further.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError, LineTooLong
from aiohttp.http_parser import HttpPayloadParser, HttpRequestParserPy, ParseState, RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestPayloadError
from yarl import URL

HEAD_FIELDS = 4
"""A whole head may have this many times the bytes of its largest field."""
PIECE_BYTES = 1024
"""So much is parsed at once; 170 one-byte chunks, about 1 ms."""
FRAMING_BYTES = 2048
"""What a chunked body may spend on sizes, extensions, line ends and trailers, whatever it holds."""
FRAMING_SHARE = 8
"""Of what it holds, it may spend one part in so many besides: chunks of 50 bytes on average do not reach it."""
BLANK_BYTES = 16
"""Line ends before a request; RFC 9112 2.2 asks for one to be overlooked."""
_LINE_ENDS = re.compile(rb"(?:\r\n)+")
_NO_URL = URL("/")

Fed = tuple[list[tuple[RawRequestMessage, StreamReader]], bool, bytes]
"""What aiohttp's parser returns: the messages whose heads are complete, whether the protocol changes, and what is left."""
TakesChunks = Callable[[str, str], bool]
"""Tells by method and raw target whether a request may have a chunked body."""


class ChunkedBodyError(BadHttpMessage):
    """A body came in chunks where none may."""


class Parser(HttpRequestParserPy):
    """The pure Python parser with bounds."""

    def __init__(
        self,
        *args: Any,  # noqa: ANN401 - handed on as they are
        takes_chunks: TakesChunks,
        **kwargs: Any,  # noqa: ANN401 - handed on as they are
    ) -> None:
        super().__init__(*args, **kwargs)
        self._takes_chunks = takes_chunks
        self._blank_bytes = 0
        self._body: HttpPayloadParser | None = None
        self._wire_bytes = 0
        self.is_refusing = False
        """Whether something could not be accepted: nothing that follows is looked at."""

    def parse_message(self, lines: list[bytes]) -> RawRequestMessage:
        """Read a head; refuse every target that aiohttp cannot make a URL of.

        We use the raw target alone, so the URL of an absolute one is left out: aiohttp would look into its host again where an error, as
        for a host that is no domain name, ends the connection's task and leaves the client waiting for ever.
        """
        try:
            message = super().parse_message(lines)
        except ValueError as error:
            raise BadHttpMessage("the request target cannot be read") from error
        if message.chunked and not self._takes_chunks(message.method, message.path):
            raise ChunkedBodyError("a request of this kind has no chunked body")
        return message._replace(url=_NO_URL) if message.url.absolute else message

    def feed_data(
        self,
        data: bytes,
        *args: Any,  # noqa: ANN401 - handed on as they are
        **kwargs: Any,  # noqa: ANN401 - handed on as they are
    ) -> Fed:
        """Parse what arrived, piece by piece.

        Raises:
            HttpProcessingError: it is not HTTP, or costs more than it may. Whatever is fed afterwards is dropped.
        """
        if self.is_refusing:
            return [], False, b""
        messages: list[tuple[RawRequestMessage, StreamReader]] = []
        rest: list[bytes] = []
        try:
            while True:
                size = self._piece_bytes(len(data))
                piece, data = data[:size], data[size:]
                found, is_upgraded, left = super().feed_data(self._begun(piece), *args, **kwargs)
                messages += found
                rest.append(left)
                self._check_head()
                self._check_framing(len(piece))
                if not data:
                    return messages, is_upgraded, b"".join(rest)
        except HttpProcessingError:
            self.is_refusing = True
            raise

    def _piece_bytes(self, available: int) -> int:
        """Return how much may be parsed at once: the rest of a plain body, and what is only put aside, cost nothing."""
        body = self._payload_parser
        if body is None:
            is_full = self._msg_in_flight >= self._max_msg_queue_size
            return available if self._upgraded or is_full else PIECE_BYTES
        if body._type is ParseState.PARSE_LENGTH:  # noqa: SLF001 - nothing public tells
            return max(PIECE_BYTES, body._length)  # noqa: SLF001 - see above
        return PIECE_BYTES

    def _begun(self, piece: bytes) -> bytes:
        """Return what is to be parsed next, without the line ends before a request: the parser would look at them one by one."""
        if self._lines or self._payload_parser is not None or self._upgraded:
            return piece
        whole, self._tail = self._tail + piece, b""
        blank = _LINE_ENDS.match(whole)
        skipped = blank.end() if blank else 0
        self._blank_bytes += skipped
        if self._blank_bytes > BLANK_BYTES:
            raise BadHttpMessage("too many blank lines before a request")
        if len(whole) - skipped > 1:  # more than the first half of the next line end
            self._blank_bytes = 0
        return whole[skipped:]

    def _check_head(self) -> None:
        if self._lines and sum(map(len, self._lines)) > HEAD_FIELDS * self.max_field_size:
            raise LineTooLong(b"the head of the request", HEAD_FIELDS * self.max_field_size)

    def _check_framing(self, arrived_bytes: int) -> None:
        """Compare what a chunked body holds with what it took on the wire.

        Raises:
            BadHttpMessage: it is mostly framing. Whoever reads the body is told so as well.
        """
        body = self._payload_parser
        if body is None or body._type is not ParseState.PARSE_CHUNKED:  # noqa: SLF001 - nothing public tells
            self._body = None
            return
        payload = body.payload
        if not isinstance(payload, StreamReader):  # nothing is decompressed here
            raise TypeError("a body is read as it came")
        if body is not self._body:  # its head came with this piece, and how much of the piece that was is not known
            self._body, self._wire_bytes = body, 0
            return
        self._wire_bytes += arrived_bytes
        held = payload.total_bytes
        framing = self._wire_bytes - held - len(body._chunk_tail)  # noqa: SLF001 - what is not looked at yet is neither
        if framing > FRAMING_BYTES + held // FRAMING_SHARE:
            message = "the chunks of the body are too small for their number"
            payload.set_exception(RequestPayloadError(message))
            raise BadHttpMessage(message)
