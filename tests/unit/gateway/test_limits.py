from __future__ import annotations

from pathlib import Path

import pytest
from support.gateway_fakes import worker_route

from mlflow_serving_plugin.errors import BadRequestError, BodyTooLargeError, TooManyRequestsError
from mlflow_serving_plugin.gateway.limits import BodyBuffer, BodyMemory, InFlight, Loads, declared_length


@pytest.mark.parametrize("value, expected", [("0", 0), (" 10 ", 10), ("0010", 10), ("000", 0)])
def test_a_declared_length_is_read(value, expected):
    assert declared_length({"content-length": value}, 10) == expected
    assert declared_length({}, 10) is None


@pytest.mark.parametrize("value", ["", "-1", "+1", "1_0", "1.0", "x", "1, 1", "٣"])
def test_a_bad_length_is_the_callers_mistake(value):
    with pytest.raises(BadRequestError):
        declared_length({"content-length": value}, 10)


@pytest.mark.parametrize("value", ["11", "9" * 5000])
def test_a_length_over_the_limit_is_refused_unread(value):
    with pytest.raises(BodyTooLargeError, match="10 bytes"):
        declared_length({"content-length": value}, 10)


def test_a_body_is_counted_while_it_arrives():
    buffer = BodyBuffer(4)
    buffer.add(b"ab")
    buffer.add(b"cd")
    assert buffer.join() == b"abcd"
    with pytest.raises(BodyTooLargeError):
        buffer.add(b"e")


def test_large_bodies_share_their_memory_and_give_it_back():
    memory = BodyMemory(1_000_000)
    first, second = memory.reserve(), memory.reserve()
    BodyBuffer(900_000, first).add(b"x" * 900_000)
    buffer = BodyBuffer(900_000, second)
    buffer.add(b"x" * 90_000)
    with pytest.raises(TooManyRequestsError) as caught:
        buffer.add(b"x" * 90_000)
    assert caught.value.retry_after_s == 1
    second.release()
    memory.reserve(100_000).release()
    first.release()
    first.release()
    with pytest.raises(TooManyRequestsError):
        memory.reserve(1_000_001)
    memory.reserve(1_000_000)


def test_small_bodies_need_no_memory():
    BodyBuffer(100_000, BodyMemory(1).reserve()).add(b"x" * 60_000)


def test_slots_are_per_key_and_given_back_after_failures_too():
    in_flight = InFlight(1)
    with in_flight.slot("a"), in_flight.slot("b"):
        with pytest.raises(TooManyRequestsError) as caught, in_flight.slot("a"):
            pass
        assert caught.value.retry_after_s == 1
    with pytest.raises(RuntimeError), in_flight.slot("a"):
        raise RuntimeError
    with in_flight.slot("a"):
        pass


def test_the_freest_worker_is_picked_and_equals_take_turns():
    loads = Loads()
    workers = [worker_route(Path("/a"), "a"), worker_route(Path("/b"), "b"), worker_route(Path("/c"), "c")]
    picked = [loads.pick(workers) for _ in range(3)]
    assert {found.worker_id for found in picked if found} == {"a", "b", "c"}
    with loads.slot("a"), loads.slot("c"):
        assert {found.worker_id for _ in range(5) if (found := loads.pick(workers))} == {"b"}
        assert "b" not in {found.worker_id for _ in range(5) if (found := loads.pick(workers, {"b"}))}
    assert loads.pick(workers[:1], {"a"}) is None
    assert loads.pick([]) is None


def test_places_that_are_held_are_counted_by_what_they_are_for():
    in_flight = InFlight(5)
    with in_flight.slot("a"), in_flight.slot("a"), in_flight.slot("b"):
        assert in_flight.counts() == {"a": 2, "b": 1}
    assert in_flight.counts() == {}


def test_a_moved_slot_counts_once_under_its_new_key_even_beyond_the_limit():
    in_flight = InFlight(1)
    first, second = in_flight.slot("a"), in_flight.slot("b")
    first.move("b")
    assert in_flight.counts() == {"b": 2}
    first.release()
    first.release()
    assert in_flight.counts() == {"b": 1}
    second.release()
    assert in_flight.counts() == {}
