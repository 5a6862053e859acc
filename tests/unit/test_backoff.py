"""How long a version that failed is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlflow_serving_plugin.controller.backoff import CRASH_LOOP, CRASH_LOOP_IN_HAND, STEADY_S, Death, after_failure

NEVER = None


def fail(
    before=None, *, message="no", served_s=NEVER, base_s=2.0, cap_s=300.0, jitter=0.0, now=0.0, waits=False, **of_death
):
    times = {"now": now, "base_s": base_s, "cap_s": cap_s, "jitter": jitter, "waits": waits}
    death = None if served_s is NEVER else Death(served_s, **of_death)
    return after_failure(before, message=message, death=death, **times)


def failures(times, **options):
    found, failure = [], None
    for _ in range(times):
        failure = fail(failure, **options)
        found.append(failure)
    return found


def test_the_wait_doubles_with_each_failed_start():
    assert [f.retry_at for f in failures(5)] == [2, 4, 8, 16, 32]


def test_the_wait_stops_growing_at_the_cap():
    assert [f.retry_at for f in failures(12)][-4:] == [300] * 4


def test_thousands_of_failures_overflow_nothing():
    assert failures(3000)[-1].retry_at == 300


def test_the_wait_is_counted_from_now():
    assert fail(now=1000.0).retry_at == 1002.0


def test_jitter_shortens_the_wait_by_at_most_a_quarter():
    assert fail(jitter=1.0, base_s=8.0).retry_at == 6.0
    assert fail(jitter=0.5, base_s=8.0).retry_at == 7.0


def test_the_first_death_of_a_serving_worker_is_retried_at_once():
    assert fail(now=7.0, served_s=3.0).retry_at == 7.0


def test_the_second_death_in_a_row_waits():
    assert fail(fail(served_s=3.0), served_s=3.0).retry_at == 4.0


@pytest.mark.parametrize(
    "message",
    ["OSError: [Errno 28] No space left on device", "The environment could not be built: no space left on the disk."],
)
def test_a_version_that_has_served_waits_for_space_on_a_full_disk_however_long(message):
    failure = fail(served_s=3.0)
    for _ in range(20):
        failure = fail(failure, message=message, now=7.0)
        assert (failure.final, failure.retry_at, failure.message) == (False, 9.0, message)
    assert fail(failure, message="no such module").final
    assert fail(message=message).final


def test_a_worker_that_served_steadily_starts_the_count_anew():
    long_ago = failures(8)[-1]
    again = fail(long_ago, now=5.0, served_s=STEADY_S)
    assert (again.count, again.retry_at, again.final) == (0, 5.0, False)


def test_a_worker_that_answered_many_requests_is_replaced_at_once_however_often_it_is_killed():
    failure = None
    for second in range(100):
        failure = fail(failure, now=float(second), served_s=0.5, proved=True)
        assert (failure.retry_at, failure.final) == (second, False)


def test_a_successor_killed_before_it_answered_is_replaced_at_once_too():
    proved = fail(served_s=0.5, proved=True)
    for served_s in (NEVER, 0.01):
        failure = fail(proved, now=7.0, served_s=served_s)
        assert (failure.retry_at, failure.final) == (7.0, False)


def test_the_row_after_a_worker_that_served_well_waits_longer_each_time():
    failure, waits = fail(served_s=100.0), []
    for _ in range(4):
        failure = fail(failure, served_s=1.0)
        waits.append(failure.retry_at)
    assert waits == [0, 4, 8, 16]


def test_a_worker_that_served_too_briefly_does_not_start_the_count_anew():
    assert fail(failures(8)[-1], served_s=STEADY_S - 0.1).count == 9


def test_a_version_that_never_got_ready_is_final_at_once():
    assert fail().final


def test_a_serving_version_is_restarting_until_it_dies_in_a_loop():
    assert [f.final for f in failures(CRASH_LOOP + 1, served_s=1.0)] == [False] * (CRASH_LOOP - 1) + [True, True]


def test_requests_that_end_their_workers_make_no_version_failed_while_they_are_few():
    row = failures(CRASH_LOOP_IN_HAND, served_s=1.0, in_hand=True)
    assert [f.retry_at for f in row] == [0.0] + [2.0] * (CRASH_LOOP_IN_HAND - 1)
    assert [f.final for f in row] == [False] * (CRASH_LOOP_IN_HAND - 1) + [True]
    assert fail(row[-2], served_s=0.1, proved=True).in_hand == 0


def test_deaths_with_and_without_requests_are_counted_apart():
    alone = failures(CRASH_LOOP - 1, served_s=1.0)[-1]
    both = fail(alone, served_s=1.0, in_hand=True)
    assert (both.count, both.in_hand, both.final) == (CRASH_LOOP - 1, 1, False)
    assert fail(both, served_s=1.0).final


def test_a_restart_that_does_not_get_ready_is_tried_once_more_and_then_final():
    first = fail(fail(served_s=100.0))
    assert (first.final, fail(first).final) == (False, True)


def test_a_version_that_hardly_served_is_final_when_its_restart_does_not_get_ready():
    assert fail(fail(served_s=1.0)).final


def test_the_last_reason_is_the_one_that_is_kept():
    assert fail(fail(message="first"), message="second").message == "second"


@given(
    count=st.integers(1, 200),
    base=st.floats(0, 100),
    cap=st.floats(0, 1000),
    jitter=st.floats(0, 1),
    now=st.floats(0, 1e9),
    served=st.one_of(st.none(), st.floats(0, 1000)),
    proved=st.booleans(),
    in_hand=st.booleans(),
)
def test_no_wait_is_negative_or_beyond_the_cap(count, base, cap, jitter, now, served, proved, in_hand):
    failure = None
    for _ in range(count):
        times = {"now": now, "base_s": base, "cap_s": cap, "jitter": jitter}
        failure = fail(failure, **times, served_s=served, proved=proved, in_hand=in_hand)
    assert now <= failure.retry_at <= now + cap


@pytest.mark.parametrize("base", [0.0])
def test_no_wait_is_a_setting_too(base):
    assert [f.retry_at for f in failures(3, base_s=base, now=1.0)] == [1.0] * 3


def test_a_start_that_waits_for_room_is_no_failure_of_the_version_and_is_tried_again_soon():
    waiting = fail(now=7.0, waits=True)
    assert (waiting.final, waiting.count, waiting.retry_at) == (False, 0, 9.0)
    again = fail(fail(fail(fail()), waits=True), waits=True, now=1.0)
    assert (again.final, again.count, again.retry_at) == (False, 2, 3.0)
    assert fail(again).final
