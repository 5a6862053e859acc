"""Frames between gateway and worker: many requests at once on one connection. No input or output in here.

A frame is a header of 9 bytes, ``length`` (u32, of what follows the header), ``kind`` (u8) and ``id`` (u32), all
big-endian, and a payload. The gateway says hello first, and the worker once it has found that hello to be right; a
request is answered by one response or one dropped of its id.

========  =====================================================================================
hello     ``version`` (u16), then a secret, for ``tcp://`` only
request   ``timeout`` (u32, ms left), length of the content type (u16), content type, body
response  ``status`` (u16), ``queue``, ``decode``, ``predict``, ``encode`` (u32 each, µs),
          length of the content type (u16), content type, body
cancel    of a request nobody waits for any more; it may be scored all the same
ping      answered by a pong of its id
goodbye   from a worker that drains: requests under way are answered, new ones go elsewhere
dropped   a request was not scored: its time was up, or it was cancelled, before its turn
========  =====================================================================================

Standard library, Python 3.8 or later: this module runs in the gateway and in the model's environment.
"""

from __future__ import annotations

import struct
from typing import Iterator, NamedTuple, Optional, Tuple

VERSION = 1
HELLO, REQUEST, RESPONSE, CANCEL, PING, PONG, GOODBYE, DROPPED = range(1, 9)
MAX_FRAME_BYTES = 64 * 1024 * 1024
"""Of a payload, unless a decoder is told otherwise: a request's body and its head, or a model's answer."""

MAX_HELLO_BYTES = 4096
"""What a peer may send before it has said hello."""

_LARGEST_U32 = 0xFFFF_FFFF
_HEADER = struct.Struct("!IBI")
_HELLO = struct.Struct("!H")
_REQUEST = struct.Struct("!IBIIH")
_REQUEST_HEAD = struct.Struct("!IH")
_RESPONSE = struct.Struct("!IBIHIIIIH")
_RESPONSE_HEAD = struct.Struct("!HIIIIH")


class WireError(Exception):
    """The peer does not speak this protocol, or not this version of it. The connection is of no more use."""


class Frame(NamedTuple):
    """One frame as it came. ``id`` 0 where a kind has none."""

    kind: int
    id: int
    payload: bytes


class Request(NamedTuple):
    """What a worker is asked to score. ``timeout_ms``: how long the gateway still waits."""

    timeout_ms: int
    content_type: str
    body: bytes


class Response(NamedTuple):
    """What a worker answers. ``times_us``: queue, decode, predict, encode."""

    status: int
    times_us: Tuple[int, int, int, int]
    content_type: str
    body: bytes


def tcp_address(address: str) -> Optional[Tuple[str, int]]:
    """Host and port of ``tcp://host:port``, where an IPv6 host stands in brackets; None for any other address."""
    if not address.startswith("tcp://"):
        return None
    host, _, port = address[len("tcp://") :].rpartition(":")
    return host.strip("[]"), int(port)


def encode(kind: int, frame_id: int = 0, payload: bytes = b"") -> bytes:
    """A frame of any kind."""
    return _HEADER.pack(len(payload), kind, frame_id) + payload


def encode_hello(secret: bytes = b"") -> bytes:
    """The first frame of either side."""
    return encode(HELLO, 0, _HELLO.pack(VERSION) + secret)


def check_hello(frame: Frame, secret: bytes = b"") -> None:
    """WireError unless the frame is a hello of this version with that secret."""
    import hmac

    if frame.kind != HELLO or len(frame.payload) < _HELLO.size:
        raise WireError("the peer did not say hello")
    (version,) = _HELLO.unpack_from(frame.payload)
    if version != VERSION:
        raise WireError(f"the peer speaks version {version} of the protocol, not {VERSION}")
    if not hmac.compare_digest(frame.payload[_HELLO.size :], secret):
        raise WireError("the peer does not know the secret")


def encode_request(frame_id: int, timeout_ms: int, content_type: bytes, body: bytes) -> bytes:
    """A request frame. ``content_type`` is ASCII, at most 65,535 bytes."""
    length = _REQUEST_HEAD.size + len(content_type) + len(body)
    head = _REQUEST.pack(length, REQUEST, frame_id, timeout_ms, len(content_type))
    return b"".join((head, content_type, body))


def decode_request(payload: bytes) -> Request:
    """The payload of a request frame; WireError when it is cut short."""
    try:
        timeout_ms, type_length = _REQUEST_HEAD.unpack_from(payload)
        start = _REQUEST_HEAD.size + type_length
        if start > len(payload):
            raise WireError("a request frame is cut short")
        content_type = payload[_REQUEST_HEAD.size : start].decode("latin-1")
    except struct.error:
        raise WireError("a request frame is cut short") from None
    return Request(timeout_ms, content_type, payload[start:])


def encode_response(
    frame_id: int, status: int, times_us: tuple[int, int, int, int], content_type: bytes, body: bytes
) -> bytes:
    """A response frame. ``times_us``: queue, decode, predict, encode."""
    length = _RESPONSE_HEAD.size + len(content_type) + len(body)
    times = [min(time_us, _LARGEST_U32) for time_us in times_us]
    head = _RESPONSE.pack(length, RESPONSE, frame_id, status, *times, len(content_type))
    return b"".join((head, content_type, body))


def decode_response(payload: bytes) -> Response:
    """The payload of a response frame; WireError when it is cut short."""
    try:
        status, queue, decode, predict, encoded, type_length = _RESPONSE_HEAD.unpack_from(payload)
    except struct.error:
        raise WireError("a response frame is cut short") from None
    start = _RESPONSE_HEAD.size + type_length
    if start > len(payload):
        raise WireError("a response frame is cut short")
    content_type = payload[_RESPONSE_HEAD.size : start].decode("latin-1")
    return Response(status, (queue, decode, predict, encoded), content_type, payload[start:])


class Decoder:
    """Cuts a stream of bytes into frames, wherever the bytes were split. ``max_first_bytes``: of the first frame."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES, max_first_bytes: int | None = None) -> None:
        self._max_frame_bytes = max_frame_bytes
        self._limit = max_frame_bytes if max_first_bytes is None else max_first_bytes
        self._buffer = bytearray()
        self._needed = _HEADER.size
        """Bytes in the buffer before there can be another frame: large frames are not looked at for each piece."""

    def feed(self, data: bytes) -> Iterator[Frame]:
        """The frames that ``data`` completes; iterate to the end.

        WireError, after the frames before it, for an unknown kind or a payload over the limit.
        """
        buffer = self._buffer
        buffer += data
        size = len(buffer)
        if size < self._needed:
            return
        start = 0
        while size - start >= _HEADER.size:
            length, kind, frame_id = _HEADER.unpack_from(buffer, start)
            if not HELLO <= kind <= DROPPED:
                raise WireError(f"unknown frame kind {kind}")
            if length > self._limit:
                raise WireError(f"a frame of {length} bytes is over the limit of {self._limit}")
            end = start + _HEADER.size + length
            if end > size:
                self._needed = end - start
                break
            self._limit = self._max_frame_bytes
            yield Frame(kind, frame_id, bytes(memoryview(buffer)[start + _HEADER.size : end]))
            start = end
        else:
            self._needed = _HEADER.size
        if start:
            del buffer[:start]
