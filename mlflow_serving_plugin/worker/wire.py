"""Frames between gateway and worker: many requests at once on one connection. No input or output in here.

A frame is a header of 9 bytes, ``length`` (u32, of what follows the header), ``kind`` (u8) and ``id`` (u32), all
big-endian, and a payload. The gateway sends hello first; the worker checks that hello, then sends its own. A request
is answered by one response or one dropped with the request's id. A stream is answered like a request when the model
fails before its first event, else by parts and one end.

========  =====================================================================================
hello     ``version`` (u16)
request   ``timeout`` (u32, ms left), length of the content type (u16), content type, body
response  ``status`` (u16), 0 (u32), ``decode``, ``predict``, ``encode`` (u32 each, µs),
          length of the content type (u16), content type, body
cancel    the gateway needs no answer any more; the worker may still score the request
ping      answered by a pong with the same id
goodbye   from a worker that drains: requests under way are answered, new ones go elsewhere
dropped   a request was not scored: before its turn, its timeout was over or a cancel came
stream    like request, for a model that is to answer event by event; ``timeout`` is for each event
part      an event, as JSON text
end       ``status`` (u16), error body: no more parts; 200 and nothing when the model came to its end
credit    ``bytes`` (u32): the gateway takes so many bytes of parts more; without credit the model waits
context   before a request or stream with the same id: JSON for a model that asks who calls, see ``request_context``
trace     before the response or end of a request with a context: a trace as JSON; empty: a trace was dropped
========  =====================================================================================

A large body is copied once on its way through a process: the encoder hands the body on beside the head, and the
decoder keeps the pieces that came from the socket until ``decode_request`` or ``decode_response`` joins them.

Standard library, Python 3.8 or later: this module runs in the gateway and in the model's environment.
"""

from __future__ import annotations

import struct
from typing import Iterator, NamedTuple, Sequence, Tuple, Union

VERSION = 1
HELLO, REQUEST, RESPONSE, CANCEL, PING, PONG, GOODBYE, DROPPED, STREAM, PART, END, CREDIT, CONTEXT, TRACE = range(1, 15)
KINDS = frozenset(range(HELLO, TRACE + 1))
"""A peer that sends any other kind does not speak this protocol."""

MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Of a payload, unless a decoder has another limit: a request's body and its head, or a model's answer."""

MAX_HELLO_BYTES = 4096
"""Of a hello: more than any secret needs."""

LARGE_BYTES = 64 * 1024
"""A body larger than this is written without its head: a copy costs more than a system call."""

_LARGEST_U32 = 0xFFFF_FFFF
_LARGEST_HEAD = 128 * 1024
"""More than the header and the head of any frame, content type included."""

_SMALL_PIECE = 16 * 1024
_HEADER = struct.Struct("!IBI")
_HELLO = struct.Struct("!H")
_REQUEST = struct.Struct("!IBIIH")
_REQUEST_HEAD = struct.Struct("!IH")
_RESPONSE = struct.Struct("!IBIHIIIIH")
_RESPONSE_HEAD = struct.Struct("!HIIIIH")


class WireError(Exception):
    """The peer does not speak this version of this protocol. The connection has to be closed."""


class Frame(NamedTuple):
    """One frame as it came. ``id`` 0 where a kind has none."""

    kind: int
    id: int
    payload: bytes
    rest: Sequence[Union[bytes, bytearray]] = ()
    """Of a large payload: what follows ``payload``, in the pieces that came from the socket."""


class Request(NamedTuple):
    """A body to score. ``timeout_ms``: how long the gateway still waits."""

    timeout_ms: int
    content_type: str
    body: bytes


class Response(NamedTuple):
    """A worker's answer. ``times_us``: decode, predict, encode."""

    status: int
    times_us: Tuple[int, int, int]
    content_type: str
    body: bytes


def encode(kind: int, frame_id: int = 0, payload: bytes = b"") -> bytes:
    """A frame of any kind."""
    return _HEADER.pack(len(payload), kind, frame_id) + payload


def encode_hello() -> bytes:
    """The first frame of either side."""
    return encode(HELLO, 0, _HELLO.pack(VERSION))


def check_hello(frame: Frame) -> None:
    """WireError unless the frame is a hello of this version."""
    if frame.kind != HELLO or len(frame.payload) != _HELLO.size:
        raise WireError("the peer did not say hello")
    (version,) = _HELLO.unpack_from(frame.payload)
    if version != VERSION:
        raise WireError(f"the peer speaks version {version} of the protocol, not {VERSION}")


def encode_request(
    frame_id: int, timeout_ms: int, content_type: bytes, body: bytes, kind: int = REQUEST
) -> tuple[bytes, ...]:
    """A request or stream frame, to be written part by part. ``content_type`` is ASCII, at most 65,535 bytes."""
    length = _REQUEST_HEAD.size + len(content_type) + len(body)
    return _parts(_REQUEST.pack(length, kind, frame_id, timeout_ms, len(content_type)), content_type, body)


def decode_request(frame: Frame) -> Request:
    """A request or stream frame's request; WireError when the frame is cut short."""
    try:
        timeout_ms, type_length = _REQUEST_HEAD.unpack_from(frame.payload)
    except struct.error:
        raise WireError("a request frame is cut short") from None
    content_type, body = _split(frame, _REQUEST_HEAD.size, type_length)
    return Request(timeout_ms, content_type, body)


def encode_response(
    frame_id: int, status: int, times_us: tuple[int, int, int], content_type: bytes, body: bytes
) -> tuple[bytes, ...]:
    """A response frame, to be written part by part. ``times_us``: decode, predict, encode."""
    length = _RESPONSE_HEAD.size + len(content_type) + len(body)
    times = [min(time_us, _LARGEST_U32) for time_us in times_us]
    return _parts(_RESPONSE.pack(length, RESPONSE, frame_id, status, 0, *times, len(content_type)), content_type, body)


def decode_response(frame: Frame) -> Response:
    """A response frame's response; WireError when the frame is cut short."""
    try:
        # The second field was the time in the worker's queue, which the gateway knows by subtraction.
        status, _, decode, predict, encoded, type_length = _RESPONSE_HEAD.unpack_from(frame.payload)
    except struct.error:
        raise WireError("a response frame is cut short") from None
    content_type, body = _split(frame, _RESPONSE_HEAD.size, type_length)
    return Response(status, (decode, predict, encoded), content_type, body)


def coalesce(parts: list[bytes]) -> Sequence[bytes]:
    """The same bytes in as few parts as are worth a copy."""
    return parts if sum(map(len, parts)) > 4 * LARGE_BYTES else (b"".join(parts),)


def _parts(head: bytes, content_type: bytes, body: bytes) -> tuple[bytes, ...]:
    return (head + content_type, body) if len(body) > LARGE_BYTES else (b"".join((head, content_type, body)),)


def _split(frame: Frame, start: int, type_length: int) -> tuple[str, bytes]:
    """Content type and body of a payload whose content type begins at ``start``."""
    payload, end = frame.payload, start + type_length
    if end > len(payload):
        raise WireError("a frame's content type is cut short")
    body = b"".join((memoryview(payload)[end:], *frame.rest)) if frame.rest else payload[end:]
    return payload[start:end].decode("latin-1"), body


class Decoder:
    """Cuts a stream of bytes into frames, wherever the bytes were split. ``max_first_bytes``: of the first frame."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES, max_first_bytes: int | None = None) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._limit = max_frame_bytes if max_first_bytes is None else max_first_bytes
        self._start = bytearray()
        """An incomplete frame, unless that is large."""
        self._large: Frame | None = None
        """The beginning of an incomplete large frame."""
        self._rest: list[bytes | bytearray] = []
        self._missing = 0
        """Bytes of the incomplete frame that have not come."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes; iterate to the end.

        WireError, after the frames before it, for an unknown kind or a payload over the limit.
        """
        if len(data) < self._missing:
            self._missing -= len(data)
            self._keep(data)
            return
        if self._large is not None:
            self._keep(data[: self._missing])
            frame = self._large._replace(rest=self._rest)
            self._large, self._rest, data, self._missing = None, [], data[self._missing :], 0
            yield frame
        if self._start:
            self._start += data
            data, self._start = bytes(self._start), bytearray()
        start, size, self._missing = 0, len(data), 0
        while size - start >= _HEADER.size:
            length, kind, frame_id = _HEADER.unpack_from(data, start)
            if kind not in KINDS:
                raise WireError(f"unknown frame kind {kind}")
            if length > self._limit:
                raise WireError(f"a frame of {length} bytes is over the limit of {self._limit}")
            begin = start + _HEADER.size
            end = begin + length
            if end > size:
                self._missing = end - size
                break
            self._limit = self._max_frame_bytes
            yield Frame(kind, frame_id, data[begin:end])
            start = end
        if start < size:
            self._keep(data[start:])

    def _keep(self, data: bytes) -> None:
        """Keep a piece of an incomplete frame."""
        if self._large is None:
            self._start += data
            if self._missing and len(self._start) > _LARGEST_HEAD:
                _, kind, frame_id = _HEADER.unpack_from(self._start)
                self._large = Frame(kind, frame_id, bytes(memoryview(self._start)[_HEADER.size :]))
                self._start = bytearray()
                self._limit = self._max_frame_bytes
        elif len(data) < _SMALL_PIECE and self._rest and isinstance(self._rest[-1], bytearray):
            # Joined: a peer that sends byte by byte must not cost an object for each byte.
            self._rest[-1] += data
        else:
            self._rest.append(data if len(data) >= _SMALL_PIECE else bytearray(data))
