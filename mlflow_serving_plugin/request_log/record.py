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
    request_id, entity = record.request_id.encode(), record.entity.encode()
    requester = b"" if record.requester is None else record.requester.encode("utf-8", "replace")
    client_id = record.client_request_id.encode("utf-8", "replace")[:1000]
    codes = sum(1 << _CODES.index(code) for code in record.codes) if record.codes else 0
    request, response = record.request, record.response
    numbers = _NUMBERS.pack(
        record.time_us,
        record.took_ms,
        record.status,
        record.sampling_fraction,
        len(request_id),
        len(entity),
        (len(requester) << 1) | (record.requester is not None),
        (len(client_id) << 6) | codes,
        _ABSENT if request is None else len(request),
        _ABSENT if response is None else len(response),
    )
    content = b"".join((numbers, request_id, entity, requester, client_id, request or b"", response or b""))
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
    time_us, took_ms, status, fraction, of_id, of_entity, of_requester, of_client, of_request, of_response = (
        _NUMBERS.unpack_from(content)
    )
    entity_at = _NUMBERS.size + of_id
    requester_at = entity_at + of_entity
    client_at = requester_at + (of_requester >> 1)
    request_at = client_at + (of_client >> 6)
    response_at = request_at + max(0, of_request)
    codes = of_client & 63
    return Record(
        content[_NUMBERS.size : entity_at].decode(),
        time_us,
        took_ms,
        status,
        fraction,
        content[entity_at:requester_at].decode(),
        content[requester_at:client_at].decode() if of_requester & 1 else None,
        None if of_request == _ABSENT else content[request_at:response_at],
        None if of_response == _ABSENT else content[response_at : response_at + of_response],
        tuple(code for bit, code in enumerate(_CODES) if codes >> bit & 1) if codes else (),
        content[client_at:request_at].decode("utf-8", "replace") if of_client >> 6 else "",
    )
