"""``Content-Encoding`` and ``Accept-Encoding``: compressed request bodies and answers. Pure.

Fed by ``scoring`` with request bodies and by ``core`` with answers. Both functions may take tens of milliseconds.
"""

from __future__ import annotations

import zlib
from functools import lru_cache

from mlflow_serving_plugin.errors import BadRequestError, UnsupportedTypeError
from mlflow_serving_plugin.gateway.limits import BodyBuffer

SMALLEST_BYTES = 1024
"""Answers up to this size are never compressed: they fill one packet in any case."""

_WBITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""For zlib, by Content-Encoding."""

_RAW_WBITS = -15
_CHUNK = 1 << 16
_MOST_MEMBERS = 1024
"""Of one gzip body. Sixteen megabytes can hold 800,000 empty members, which would take seconds to read."""

_FEW_BYTES = 16 * 1024
_LEVEL = 1
"""On JSON of numbers the highest level saves some percent more and takes ten times as long."""


def request_encoding(value: str | None) -> str | None:
    """The encoding of a request body by its Content-Encoding; None for a plain body. UnsupportedTypeError."""
    encoding = (value or "identity").strip().lower()
    if encoding == "identity":
        return None
    if encoding not in _WBITS:
        raise UnsupportedTypeError("The scoring server takes the Content-Encoding gzip, deflate or identity only.")
    return encoding


def decompress(body: bytes, encoding: str, buffer: BodyBuffer) -> bytes:
    """The plain body. ``buffer`` bounds the plain bytes: decompression stops at its limit.

    BadRequestError for a body that is not of this encoding, not whole, or followed by other bytes; the errors of
    ``buffer`` are BodyTooLargeError and TooManyRequestsError.
    """
    wbits = _WBITS[encoding]
    # "deflate" means zlib's format, but some clients send the bare stream.
    if encoding == "deflate" and not _is_zlib(body):
        wbits = _RAW_WBITS
    try:
        _decompress(body, encoding, wbits, buffer)
    except zlib.error:
        raise BadRequestError(f"The request body is not valid {encoding}.") from None
    return buffer.join()


def _decompress(body: bytes, encoding: str, wbits: int, buffer: BodyBuffer) -> None:
    decoder, members = zlib.decompressobj(wbits), 1
    for start in range(0, len(body), _CHUNK):
        data = body[start : start + _CHUNK]
        while data:
            if decoder.eof:
                # gzip may come in several members, and tar pads with zeros.
                data = data.lstrip(b"\0")
                if not data:
                    break
                members += 1
                if wbits != _WBITS["gzip"] or members > _MOST_MEMBERS:
                    raise BadRequestError(f"The request body goes on after its end in {encoding}.")
                decoder = zlib.decompressobj(wbits)
            buffer.add(decoder.decompress(data, _CHUNK))
            data = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
    buffer.add(decoder.flush())
    if not decoder.eof:
        raise BadRequestError(f"The request body ends before its end in {encoding}.")


def _is_zlib(body: bytes) -> bool:
    """Whether the body begins with zlib's two bytes: method 8, and a multiple of 31."""
    return len(body) > 1 and body[0] & 0x0F == 8 and int.from_bytes(body[:2], "big") % 31 == 0


@lru_cache(maxsize=256)
def answer_encoding(accept: str) -> str | None:
    """The encoding that an Accept-Encoding header asks for: gzip, deflate, or None for a plain answer."""
    wanted: dict[str, float] = {}
    for part in accept.lower().split(","):
        name, _, parameter = part.partition(";")
        wanted[name.strip()] = _quality(parameter)
    rest = wanted.get("*", 0.0)
    found = max(("gzip", "deflate"), key=lambda name: wanted.get(name, rest))
    quality = wanted.get(found, rest)
    return found if quality > 0 and quality >= wanted.get("identity", 0.0) else None


def _quality(parameter: str) -> float:
    name, _, value = parameter.partition("=")
    if name.strip() != "q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 0.0


def compress(body: bytes, encoding: str) -> bytes:
    """The body of an answer in an encoding of ``answer_encoding``."""
    wbits, memory = _WBITS[encoding], zlib.DEF_MEM_LEVEL
    if len(body) <= _FEW_BYTES:
        # Else clearing zlib's tables takes five times as long as compressing.
        wbits, memory = wbits - 3, memory - 2
    encoder = zlib.compressobj(_LEVEL, zlib.DEFLATED, wbits, memory)
    return encoder.compress(body) + encoder.flush()
