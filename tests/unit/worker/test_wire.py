"""The frame codec: whatever is split, cut short, too large or no frame at all."""

from __future__ import annotations

import itertools
import struct
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_serving_plugin.worker import wire
from mlflow_serving_plugin.worker.wire import Decoder, Frame, WireError

IDS = st.integers(0, 2**32 - 1)
FRAMES = st.lists(
    st.builds(Frame, st.sampled_from(sorted(wire.KINDS)), IDS, st.binary(max_size=64), st.just(())),
    min_size=1,
    max_size=8,
)


def stream_of(frames):
    return b"".join(wire.encode(*frame[:3]) for frame in frames)


@given(FRAMES, st.data())
def test_frames_come_out_as_they_went_in_wherever_the_stream_is_split(frames, data):
    stream = stream_of(frames)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=12)))
    decoder, out = Decoder(), []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        out += decoder.feed(stream[start:end])
    assert out == frames


@given(FRAMES)
def test_frames_come_out_one_by_one_when_bytes_come_one_by_one(frames):
    decoder = Decoder()
    assert [frame for byte in stream_of(frames) for frame in decoder.feed(bytes([byte]))] == frames


@given(st.lists(st.binary(max_size=100), max_size=20))
def test_garbage_raises_wire_errors_only_and_is_not_collected(pieces):
    decoder = Decoder(max_frame_bytes=50)
    try:
        for piece in pieces:
            list(decoder.feed(piece))
            assert len(decoder._start) <= 9 + 50
    except WireError:
        pass


@given(st.integers(101, 2**32 - 1), st.sampled_from(sorted(wire.KINDS)))
def test_an_oversized_frame_is_refused_from_its_header_alone(length, kind):
    decoder = Decoder(max_frame_bytes=100)
    with pytest.raises(WireError, match="over the limit"):
        list(decoder.feed(struct.pack("!IBI", length, kind, 1)))


def test_an_oversized_frame_behind_a_good_one_is_refused():
    frames = Decoder(max_frame_bytes=10).feed(
        wire.encode(wire.PING, 1, b"x" * 10) + wire.encode(wire.PING, 2, b"x" * 11)
    )
    assert next(frames) == Frame(wire.PING, 1, b"x" * 10)
    with pytest.raises(WireError, match="over the limit"):
        next(frames)


def test_the_first_frame_may_have_a_limit_of_its_own():
    hello = wire.encode(wire.HELLO, 0, b"x" * 10)
    assert len(list(Decoder(max_first_bytes=10).feed(hello + wire.encode(wire.PING, 1, b"x" * 1000)))) == 2
    with pytest.raises(WireError, match="over the limit"):
        list(Decoder(max_first_bytes=9).feed(hello[:9]))


@given(st.integers(0, 255).filter(lambda kind: kind not in wire.KINDS))
def test_an_unknown_kind_is_refused(kind):
    with pytest.raises(WireError, match="unknown frame kind"):
        list(Decoder().feed(struct.pack("!IBI", 0, kind, 0)))


@given(IDS, st.integers(0, 2**32 - 1), st.text("abc/;= é", max_size=30), st.binary(max_size=200))
def test_a_request_arrives_as_it_was_sent(frame_id, timeout_ms, content_type, body):
    (frame,) = Decoder().feed(b"".join(wire.encode_request(frame_id, timeout_ms, content_type.encode("latin-1"), body)))
    assert (frame.kind, frame.id) == (wire.REQUEST, frame_id)
    assert wire.decode_request(frame) == (timeout_ms, content_type, body)


@given(IDS, st.integers(0, 65535), st.lists(st.integers(0, 2**32 - 1), min_size=3, max_size=3), st.binary(max_size=200))
def test_a_response_arrives_as_it_was_sent(frame_id, status, times, body):
    sent = b"".join(wire.encode_response(frame_id, status, tuple(times), b"application/json", body))
    (frame,) = Decoder().feed(sent)
    assert (frame.kind, frame.id) == (wire.RESPONSE, frame_id)
    assert wire.decode_response(frame) == (status, tuple(times), "application/json", body)


def test_a_time_that_does_not_fit_is_the_longest_that_does():
    (frame,) = Decoder().feed(b"".join(wire.encode_response(1, 200, (2**40, 0, 2**32), b"", b"")))
    assert wire.decode_response(frame).times_us == (2**32 - 1, 0, 2**32 - 1)


@given(st.binary(max_size=40))
def test_a_payload_cut_short_raises_wire_errors_only(payload):
    for decode in (wire.decode_request, wire.decode_response):
        try:
            decode(Frame(0, 0, payload))
        except WireError as error:
            assert "cut short" in str(error)


@given(st.integers(1, 100), st.binary(max_size=50))
def test_every_cut_into_the_head_of_a_payload_is_noticed(cut, body):
    (request,) = Decoder().feed(b"".join(wire.encode_request(1, 5, b"application/json", body)))
    (response,) = Decoder().feed(b"".join(wire.encode_response(1, 200, (2, 3, 4), b"application/json", body)))
    for frame, decode in ((request, wire.decode_request), (response, wire.decode_response)):
        head = len(frame.payload) - len(body)
        if cut <= head:
            with pytest.raises(WireError, match="cut short"):
                decode(frame._replace(payload=frame.payload[: head - cut]))


LARGE = bytes(range(256)) * 2048
PIECES = st.lists(st.sampled_from([1, 7, 9, 100, 20_000, 70_000, 200_000, 300_000]), min_size=1, max_size=6)


@given(PIECES)
def test_large_bodies_arrive_whole_wherever_their_frames_are_split(sizes):
    sent = [
        *wire.encode_request(1, 5, b"application/json", LARGE),
        wire.encode(wire.PING, 2, b"x"),
        *wire.encode_response(3, 200, (1, 2, 3), b"text/csv", LARGE[::-1]),
        wire.encode(wire.GOODBYE),
    ]
    stream, decoder, found = b"".join(sent), Decoder(), []
    sizes = itertools.cycle(sizes) if sum(sizes) > 1000 else itertools.chain(sizes, itertools.repeat(50_000))
    while stream:
        size = next(sizes)
        found += decoder.feed(stream[:size])
        stream = stream[size:]
    request, ping, response, goodbye = found
    assert wire.decode_request(request) == (5, "application/json", LARGE)
    assert ping == Frame(wire.PING, 2, b"x")
    assert wire.decode_response(response) == (200, (1, 2, 3), "text/csv", LARGE[::-1])
    assert goodbye == Frame(wire.GOODBYE, 0, b"")


def test_a_large_frame_that_comes_byte_by_byte_is_kept_in_few_pieces():
    decoder = Decoder()
    stream = b"".join(wire.encode_request(1, 5, b"", LARGE))
    assert not list(decoder.feed(stream[:150_000]))
    for byte in stream[150_000:170_000]:
        assert not list(decoder.feed(bytes([byte])))
    assert len(decoder._rest) == 1
    (frame,) = decoder.feed(stream[170_000:])
    assert wire.decode_request(frame).body == LARGE


def test_a_large_body_is_held_once_more_at_most_while_its_frame_arrives():
    body = bytes(16 * 1024 * 1024)
    chunks = [
        bytes(part)
        for part in (
            memoryview(b"".join(wire.encode_request(1, 5, b"", body)))[at : at + 2**18]
            for at in range(0, len(body) + 64, 2**18)
        )
    ]
    del body
    tracemalloc.start()
    try:
        decoder = Decoder()
        frames = [frame for chunk in chunks for frame in decoder.feed(chunk)]
        assert len(wire.decode_request(frames[0]).body) == 16 * 1024 * 1024
        assert tracemalloc.get_traced_memory()[1] < 1.1 * 16 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_small_parts_are_written_together_and_large_ones_by_themselves():
    assert list(wire.coalesce([b"a", b"b"])) == [b"ab"]
    assert list(wire.coalesce([b"a", LARGE])) == [b"a", LARGE]
    assert len(wire.encode_response(1, 200, (0, 0, 0), b"", b"x" * wire.LARGE_BYTES)) == 1
    assert wire.encode_response(1, 200, (0, 0, 0), b"", LARGE)[1] is LARGE


def hello(version):
    return Frame(wire.HELLO, 0, struct.pack("!H", version))


def test_a_hello_of_this_version_is_accepted():
    (frame,) = Decoder().feed(wire.encode_hello())
    wire.check_hello(frame)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (hello(wire.VERSION + 1), "version"),
        (hello(0), "version"),
        (Frame(wire.HELLO, 0, b""), "hello"),
        (Frame(wire.HELLO, 0, b"\0"), "hello"),
        (Frame(wire.PING, 0, struct.pack("!H", wire.VERSION)), "hello"),
    ],
)
def test_any_other_hello_is_refused(frame, said):
    with pytest.raises(WireError, match=said):
        wire.check_hello(frame)
