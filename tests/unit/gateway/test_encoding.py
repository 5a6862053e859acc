"""Compressed bodies and answers: what is read, what is refused, and that small bodies cannot become large ones."""

from __future__ import annotations

import gzip
import random
import zlib

import pytest

from mlflow_serving_plugin.errors import BadRequestError, BodyTooLargeError, UnsupportedTypeError
from mlflow_serving_plugin.gateway.encoding import answer_encoding, compress, decompress, request_encoding
from mlflow_serving_plugin.gateway.limits import BodyBuffer

TEXT = b'{"dataframe_split": {"columns": ["a"], "data": [[1], [2.5]]}}'
LONG = random.Random(1).randbytes(300_000) + bytes(500_000)


def raw_deflate(data: bytes) -> bytes:
    encoder = zlib.compressobj(wbits=-15)
    return encoder.compress(data) + encoder.flush()


ENCODERS = [(gzip.compress, "gzip"), (zlib.compress, "deflate"), (raw_deflate, "deflate")]


def read(body: bytes, encoding: str = "gzip", limit: int = 1 << 20) -> bytes:
    return decompress(body, encoding, BodyBuffer(limit))


@pytest.mark.parametrize("data", [b"", TEXT, LONG], ids=["empty", "short", "long"])
def test_gzip_and_both_kinds_of_deflate_are_read(data):
    assert read(gzip.compress(data)) == data
    assert read(gzip.compress(data), "x-gzip") == data
    assert read(zlib.compress(data), "deflate") == data
    assert read(raw_deflate(data), "deflate") == data


def test_gzip_in_several_members_with_zeros_between_and_after_is_read():
    assert read(gzip.compress(TEXT) + bytes(10) + gzip.compress(LONG) + bytes(3)) == TEXT + LONG


@pytest.mark.parametrize("data", [TEXT, LONG], ids=["short", "long"])
@pytest.mark.parametrize("squeeze, encoding", ENCODERS)
def test_a_body_that_ends_too_early_is_a_bad_request(data, squeeze, encoding):
    whole = squeeze(data)
    for end in {0, 1, len(whole) // 2, len(whole) - 1}:
        with pytest.raises(BadRequestError):
            read(whole[:end], encoding)


@pytest.mark.parametrize("squeeze, encoding", ENCODERS)
@pytest.mark.parametrize("rest", [b"x", TEXT, b"\0\0x"])
def test_bytes_after_the_end_are_a_bad_request(squeeze, encoding, rest):
    with pytest.raises(BadRequestError):
        read(squeeze(TEXT) + rest, encoding)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
def test_a_body_that_is_not_compressed_is_a_bad_request_without_the_data(encoding):
    with pytest.raises(BadRequestError) as caught:
        read(b'{"secret": 1}', encoding)
    assert "secret" not in caught.value.message


def test_a_wrong_checksum_is_a_bad_request():
    body = bytearray(gzip.compress(TEXT))
    body[-6] ^= 1
    with pytest.raises(BadRequestError, match="not valid gzip"):
        read(bytes(body))


def test_decompression_stops_at_the_limit_of_plain_bytes():
    taken = []

    class Buffer(BodyBuffer):
        def add(self, chunk):
            taken.append(len(chunk))
            super().add(chunk)

    with pytest.raises(BodyTooLargeError):
        decompress(gzip.compress(bytes(50_000_000)), "gzip", Buffer(1_000_000))
    assert sum(taken) < 1_100_000


def test_thousands_of_empty_members_are_refused():
    with pytest.raises(BadRequestError):
        read(gzip.compress(b"") * 5000)


@pytest.mark.parametrize("value, found", [(None, None), ("identity", None), (" GZIP ", "gzip"), ("Deflate", "deflate")])
def test_the_content_encoding_is_read_in_any_case(value, found):
    assert request_encoding(value) == found


@pytest.mark.parametrize("value", ["br", "zstd", "gzip, gzip", "gzip;q=1", ""])
def test_other_encodings_are_unsupported(value):
    if not value:
        assert request_encoding(value) is None
        return
    with pytest.raises(UnsupportedTypeError, match="gzip, deflate or identity"):
        request_encoding(value)


@pytest.mark.parametrize(
    "accept, found",
    [
        ("gzip", "gzip"),
        ("gzip, deflate, br, zstd", "gzip"),
        ("deflate", "deflate"),
        ("deflate;q=1, gzip;q=0.5", "deflate"),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", "gzip"),
        ("*", "gzip"),
        ("gzip;q=0, *", "deflate"),
        ("GZIP ; Q=0.2", "gzip"),
        ("", None),
        ("identity", None),
        ("br, zstd", None),
        ("gzip;q=0", None),
        ("gzip;q=0.000", None),
        ("*;q=0", None),
        ("gzip;q=0.5, identity", None),
        ("gzip;q=nonsense", None),
    ],
)
def test_an_answer_is_compressed_as_the_client_prefers(accept, found):
    assert answer_encoding(accept) == found


def test_an_answer_is_what_any_client_can_read():
    for length in (1025, 16 * 1024, 16 * 1024 + 1, len(LONG)):
        text = LONG[-length:]
        assert gzip.decompress(compress(text, "gzip")) == text
        assert zlib.decompress(compress(text, "deflate")) == text
