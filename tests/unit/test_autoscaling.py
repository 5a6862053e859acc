"""The number of workers that follows from what a version has in hand, on traces in fake time."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.controller import desired_of

from mlflow_serving_plugin.controller.scale import STABLE_S, Load, follow, scale

LOOK_S = 1.0
TARGET = 8


def scaling_of(**config):
    (wanted,) = desired_of(1, **{"max_replicas": 4, "target_requests": TARGET} | config).values()
    return wanted.scaling


def run(in_hand, looks, every_s=LOOK_S, **config):
    """The number of workers after each look; ``in_hand(look)`` is what the version has in hand."""
    scaling = scaling_of(**config)
    load, found = Load(1, -math.inf), []
    for look in range(looks):
        load = follow(load, in_hand(look), scaling, now=look * every_s, since_s=every_s)
        found.append(load.replicas)
    return found


def changes(replicas):
    """``(second, number of workers)`` at the beginning and for each change."""
    return [(0, replicas[0])] + [
        (second, after) for second, (before, after) in enumerate(itertools.pairwise(replicas), 1) if before != after
    ]


TRACES = {
    "nothing": (lambda _: 0, [(0, 1)]),
    "what one worker takes": (lambda _: 8, [(0, 1)]),
    "one request a minute": (lambda s: s % 60 == 0, [(0, 1)]),
    "noise around the border of one worker": (lambda s: 8 + (-1) ** s, [(0, 1)]),
    "a step, up in seconds, down after a minute": (
        lambda s: 64 if 10 <= s < 100 else 8,
        [(0, 1), (10, 3), (11, 4), (163, 3), (178, 2), (193, 1)],
    ),
    "a ramp from 0 to 40 in five minutes": (
        lambda s: s * 40 // 300 if s < 300 else 0,
        [(0, 1), (68, 2), (128, 3), (188, 4), (361, 3), (376, 2), (391, 1)],
    ),
    "a sawtooth of 40 s": (lambda s: s % 40, [(0, 1), (11, 2), (19, 3), (27, 4)]),
    "a burst of 1,000": (lambda s: 1000 * (s == 5), [(0, 1), (5, 4), (70, 2), (85, 1)]),
    "a slow model, 20 requests of 30 s at once every five minutes": (
        lambda s: 20 * (s % 300 < 30),
        [(0, 1), (2, 2), (4, 3), (90, 2), (105, 1), (302, 2), (304, 3), (390, 2)],
    ),
}


@pytest.mark.parametrize("trace", TRACES)
def test_the_workers_on_a_trace_of(trace):
    in_hand, expected = TRACES[trace]
    assert changes(run(in_hand, 400)) == expected


@pytest.mark.parametrize("every_s", [0.3, 0.97, 1.003, 1.3, 1.9])
def test_a_steady_load_that_one_worker_takes_gets_one_worker_however_often_the_controller_looks(every_s):
    assert set(run(lambda _: TARGET, 400, every_s)) == {1}
    assert run(lambda _: TARGET + 1, 400, every_s)[-1] == 2


LOADS = st.lists(st.tuples(st.integers(0, 200), st.integers(1, 90)), min_size=1, max_size=8)
"""What is in hand, and for how many seconds."""


@given(LOADS, st.integers(1, 64), st.floats(0.5, 20))
def test_no_trace_makes_the_workers_flap_or_leaves_fewer_than_what_is_in_hand_needs(pieces, most, target):
    in_hand = [count for count, seconds in pieces for _ in range(seconds)]
    found = run(lambda second: in_hand[second], len(in_hand), max_replicas=most, target_requests=target)
    assert all(1 <= replicas <= most for replicas in found)
    turned_down, up_at = [], -math.inf
    for second, (before, after) in enumerate(itertools.pairwise(found), 1):
        if after > before:
            up_at = second
        elif after < before:
            turned_down.append(second - up_at)
            assert after >= min(most, math.ceil(in_hand[second] / target))
    assert all(since_up >= STABLE_S for since_up in turned_down)


@pytest.mark.parametrize("target", [1e-9, 5e-324])
def test_a_target_next_to_nothing_gets_the_most_workers(target):
    assert run(lambda _: 1, 2, target_requests=target) == [4, 4]


def test_a_pause_of_the_controller_does_not_count_as_load():
    load = follow(Load(1, -math.inf), 9, scaling_of(), now=3600.0, since_s=math.inf)
    assert load.replicas == 1


@pytest.mark.parametrize(
    ("config", "load", "replicas"),
    [
        ({}, 1, 1),
        ({"max_replicas": 4}, 3, 3),
        ({"max_replicas": 2}, 3, 2),
        ({"min_replicas": 2, "max_replicas": 4}, 1, 2),
        ({"replicas": 3, "min_replicas": 1}, 2, 2),
        ({"replicas": 3}, 1, 3),
    ],
    ids=str,
)
def test_the_workers_stay_between_the_fewest_and_the_most(config, load, replicas):
    desired = desired_of(1, **config)
    assert scale(desired, loads=dict.fromkeys(desired, Load(load, 0.0))) == dict.fromkeys(desired, replicas)
