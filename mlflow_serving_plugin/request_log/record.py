"""A logged request as bytes in a segment: written by web workers, read by the writer. Pure."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import NamedTuple

_HEAD, _NUMBERS = struct.Struct("<II"), struct.Struct("<qqidHHHHii")

REQUEST_TOO_LARGE, RESPONSE_TOO_LARGE = "MAX_REQUEST_SIZE_EXCEEDED", "MAX_RESPONSE_SIZE_EXCEEDED"
NOT_TEXT_REQUEST, NOT_TEXT_RESPONSE = "REQUEST_NOT_TEXT", "RESPONSE_NOT_TEXT"
STREAMED = "RESPONSE_STREAMED"
_CODES = (REQUEST_TOO_LARGE, RESPONSE_TOO_LARGE, NOT_TEXT_REQUEST, NOT_TEXT_RESPONSE, STREAMED)
_ABSENT = -1


class Record(NamedTuple):
    """One request. ``time_us``: of its head, in microseconds since 1970."""

    request_id: str
    time_us: int
    took_ms: int
    status: int
    sampling_fraction: float
    entity: str
    """The entity's name in its key."""
    requester: str | None
    request: bytes | None
    response: bytes | None
    codes: tuple[str, ...] = ()
    client_request_id: str = ""
    """From a header. Without one, the request's field of that name counts."""


def dump(record: Record) -> bytes:
    """The record as bytes that ``load`` reads."""
    texts = (record.request_id.encode(), record.entity.encode(), (record.requester or "").encode("utf-8", "replace"))
    client_id = record.client_request_id.encode("utf-8", "replace")[:1000]
    codes = sum(1 << _CODES.index(code) for code in record.codes)
    has_requester = record.requester is not None
    bodies = [record.request, record.response]
    numbers = _NUMBERS.pack(
        record.time_us,
        record.took_ms,
        record.status,
        record.sampling_fraction,
        len(texts[0]),
        len(texts[1]),
        (len(texts[2]) << 1) | has_requester,
        (len(client_id) << 6) | codes,
        *(_ABSENT if body is None else len(body) for body in bodies),
    )
    content = b"".join((numbers, *texts, client_id, *(body for body in bodies if body is not None)))
    return _HEAD.pack(len(content), _checksum(content)) + content


def load(data: bytes, start: int = 0) -> Iterator[Record]:
    """The whole records from an offset on, up to the first torn one."""
    while start + _HEAD.size <= len(data):
        size, checksum = _HEAD.unpack_from(data, start)
        content = data[start + _HEAD.size : start + _HEAD.size + size]
        if len(content) < max(size, _NUMBERS.size) or _checksum(content) != checksum:
            return
        yield _load_one(content)
        start += _HEAD.size + size


def _checksum(content: bytes) -> int:
    """After a power cut a file may end in zeros, whose plain checksum is zero."""
    return zlib.crc32(content, 1)


def _load_one(content: bytes) -> Record:
    time_us, took_ms, status, fraction, *lengths = _NUMBERS.unpack_from(content)
    id_size, entity_size, requester_size, client_size, request_size, response_size = lengths
    parts, at = [], _NUMBERS.size
    for size in (id_size, entity_size, requester_size >> 1, client_size >> 6, request_size, response_size):
        parts.append(None if size == _ABSENT else content[at : at + size])
        at += max(0, size)
    texts = [(part or b"").decode("utf-8", "replace") for part in parts[:4]]
    codes = tuple(code for bit, code in enumerate(_CODES) if client_size >> bit & 1)
    requester = texts[2] if requester_size & 1 else None
    return Record(
        texts[0], time_us, took_ms, status, fraction, texts[1], requester, parts[4], parts[5], codes, texts[3]
    )
