"""The frames of an answer that comes event by event; see the table in ``wire``. No input or output in here.

Credit is counted in bytes of events. A worker may send a part while there is any credit, so that the largest event
passes; with none left the model waits, and the connection goes on with other requests.
"""

from __future__ import annotations

import struct

from .wire import CREDIT, END, Frame, WireError, encode

WINDOW_BYTES = 64 * 1024
"""What a gateway lets a worker be ahead of the client, besides one event."""

_END = struct.Struct("!H")
_CREDIT = struct.Struct("!I")


def encode_end(frame_id: int, status: int = 200, body: bytes = b"") -> bytes:
    """An end frame; ``body``: the error for a status other than 200."""
    return encode(END, frame_id, _END.pack(status) + body)


def decode_end(frame: Frame) -> tuple[int, bytes]:
    """Status and error body of an end frame; WireError when the frame is cut short."""
    if len(frame.payload) < _END.size:
        raise WireError("an end frame is cut short")
    status: int = _END.unpack_from(frame.payload)[0]
    return status, whole(frame)[_END.size :]


def encode_credit(frame_id: int, size: int) -> bytes:
    """A credit frame, for ``size`` bytes more."""
    return encode(CREDIT, frame_id, _CREDIT.pack(size))


def decode_credit(frame: Frame) -> int:
    """The bytes of a credit frame; WireError when the frame is no credit frame."""
    if len(frame.payload) != _CREDIT.size:
        raise WireError("a credit frame has another length")
    size: int = _CREDIT.unpack(frame.payload)[0]
    return size


def whole(frame: Frame) -> bytes:
    """The payload of a frame, in one piece."""
    return b"".join((frame.payload, *frame.rest)) if frame.rest else frame.payload
