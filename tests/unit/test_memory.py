"""Which launches wait for memory, and which versions go to sleep for them: a table of situations, without effects."""

from __future__ import annotations

import pytest
from support.controller import a_need, a_worker, desired_of

from mlflow_serving_plugin.backends.base import Memory, WorkerPhase
from mlflow_serving_plugin.controller.backoff import Failure
from mlflow_serving_plugin.controller.memory import Limits, Measured, admit, in_words
from mlflow_serving_plugin.controller.proofs import Proof
from mlflow_serving_plugin.controller.standing import HeldBack, Observed, standing
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.host.memory import Taken

MB = 10**6
NOW = 1000.0
SLEEPERS = desired_of(*range(1, 6), min_replicas=0, idle_timeout_s=3600.0)
ALWAYS = desired_of(*range(1, 6), name="always")
DESIRED = SLEEPERS | ALWAYS
S1, S2, S3, S4, S5 = (EntityKey("e-iris", str(number)) for number in range(1, 6))
A1, A2 = (EntityKey("e-always", str(number)) for number in (1, 2))
PROOFS = {key: Proof(wanted.fingerprint, True, 0, "", "") for key, wanted in DESIRED.items()}
USED = {S1: NOW - 50, S2: NOW - 90, S3: NOW - 10, S4: NOW - 0.5}
"""S2 was idle for longest; S4 is in use."""


def workers(*keys, **changes):
    return tuple(a_worker(DESIRED[key], f"w-{key.endpoint_id}-{key.name}", **changes) for key in keys)


def found(there, wanted, *, own=30, shared=10, kept=10, used_at=USED, limits, pressure=False, sizes=None, **observed):
    """What is decided with a worker of each version in ``there``, when those in ``wanted`` are to have one as well."""
    there = there if there and not isinstance(there[0], EntityKey) else workers(*there)
    replicas = dict.fromkeys(DESIRED, 0) | dict.fromkeys([worker.key for worker in there], 1) | dict.fromkeys(wanted, 1)
    taken = Taken((own + shared) * MB, own * MB)
    memory = Memory({worker.worker_id: taken for worker in there}, kept * MB)
    observed = {"needs": dict.fromkeys(DESIRED, a_need()), "proofs": PROOFS} | observed
    return admit(
        DESIRED,
        replicas | observed.pop("replicas", {}),
        Observed(workers=there, **observed),
        used_at,
        now=NOW,
        looked_at=NOW,
        measured=Measured(memory, {worker.key: own * MB for worker in there} if sizes is None else sizes, pressure),
        limits=limits,
    )


TWO, THREE = Limits(max_workers=2), Limits(max_workers=3)


@pytest.mark.parametrize(
    ("case", "there", "wanted", "limits", "evicted", "held_back"),
    [
        ("nothing is limited", [S1, S2, A1], [S5, A2], Limits(), (), {}),
        ("there is a place", [S1, S2], [S5], THREE, (), {}),
        ("the longest idle makes room", [S1, S2, S3], [S5], THREE, (S2,), {S5: 0}),
        ("two make room for two", [S1, S2, S3], [S5, A2], THREE, (S2, S1), {S5: 0, A2: 0}),
        ("a version in use stays", [S4, A1], [S5], TWO, (), {S5: 0}),
        ("one that must not sleep stays", [A1, S1], [A2], TWO, (S1,), {A2: 0}),
        ("what fits begins", [S4], [S5, A2], TWO, (), {A2: 0}),
        ("40 MB are left of 130", [S1, S2], [S5], Limits(130 * MB), (), {}),
        ("10 MB are left of 100", [S1, S2], [S5], Limits(100 * MB), (S2,), {S5: 0}),
        ("one who never fits takes nobody's room", [A1, S4], [S5], Limits(95 * MB), (), {S5: 0}),
        ("all are over the limit", [S1, S2, S3, A1], [], Limits(100 * MB), (S2, S1, S3), {}),
        ("the only worker always fits", [], [S5], Limits(MB), (), {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_sleeps_and_what_waits_when(case, there, wanted, limits, evicted, held_back):
    decided = found(there, wanted, limits=limits)
    assert decided.evicted == evicted
    assert {key: held.launches for key, held in decided.held_back.items()} == held_back


def test_memory_that_is_being_given_back_is_waited_for_and_puts_nobody_else_to_sleep():
    decided = found([S1, S2, S3], [S5], limits=THREE, stopping=frozenset({"w-e-iris-2"}), replicas={S2: 0})
    assert decided.evicted == ()
    assert decided.held_back == {S5: HeldBack(0, "Waiting for memory: idle versions are being put to sleep.")}


def test_launches_under_way_hold_what_they_will_take():
    decided = found([S4], [S5], limits=Limits(100 * MB), launching={A1: 1}, replicas={A1: 1})
    assert decided.held_back.keys() == {S5}
    starting = workers(S4) + workers(A1, phase=WorkerPhase.STARTING)
    assert found(starting, [S5], limits=Limits(110 * MB), launching={A1: 1}).held_back.keys() == {S5}
    assert found(starting, [S5], limits=THREE, launching={A1: 1}).held_back == {}


def test_a_version_is_taken_to_need_what_its_last_worker_took():
    assert found([S4], [S5], limits=Limits(150 * MB), sizes={S5: 99 * MB}).held_back == {}
    assert found([S4], [S5], limits=Limits(150 * MB), sizes={S5: 101 * MB}).held_back.keys() == {S5}


def test_the_first_to_wait_is_the_first_to_begin():
    waiting = {A2: HeldBack(0, ""), S5: HeldBack(0, "")}
    decided = found([S4], [S5, A2], limits=TWO, held_back=waiting)
    assert decided.held_back.keys() == {S5}


def test_a_version_that_cannot_begin_yet_makes_no_other_sleep():
    not_yet = [
        {"needs": {S5: a_need(key="a")}},
        {"needs": {}},
        {"failures": {S5: Failure(1, NOW + 1, "no", served=True)}},
    ]
    for observed in not_yet:
        assert found([S1, S2], [S5], limits=TWO, **observed).evicted == ()


def test_memory_pressure_puts_the_half_that_was_idle_for_longest_to_sleep():
    assert found([S1, S2, S3, S4, A1], [], limits=Limits(), pressure=True).evicted == (S2, S1)
    assert found([S4, A1], [], limits=Limits(), pressure=True).evicted == ()


def test_the_largest_worker_is_named_once_nobody_can_sleep_for_its_growth():
    there = workers(S1, A1)
    memory = Memory({"w-e-iris-1": Taken(30 * MB, 20 * MB), "w-e-always-1": Taken(900 * MB, 890 * MB)})
    for idle, evicted, grown in ((NOW - 9, (S1,), "w-e-always-1"), (NOW, (), "w-e-always-1")):
        decided = admit(
            DESIRED,
            dict.fromkeys(DESIRED, 0) | {S1: 1, A1: 1},
            Observed(workers=there, needs=dict.fromkeys(DESIRED, a_need()), proofs=PROOFS),
            {S1: idle},
            now=NOW,
            looked_at=NOW,
            measured=Measured(memory, {}),
            limits=Limits(500 * MB),
        )
        assert (decided.evicted, decided.grown) == (evicted, grown)


def test_a_version_that_waits_says_what_holds_the_memory_and_names_no_other_model():
    decided = found([S4, A1], [S5], limits=Limits(100 * MB))
    message = decided.held_back[S5].message
    assert message == (
        "Waiting for memory: 90 MB are taken by 2 workers of 2 versions, the limit is 100 MB "
        "(MLFLOW_SERVING_MAX_MEMORY_BYTES), one more worker needs about 30 MB, and none of these versions is idle and "
        "may sleep."
    )
    observed = Observed(needs={S5: a_need()}, held_back=decided.held_back)
    assert standing(SLEEPERS[S5], 1, [], observed).message == message
    assert found([S4, A1], [S5], limits=TWO).held_back[S5].message == (
        "Waiting for a place: this host has 2 workers of 2 versions, MLFLOW_SERVING_MAX_WORKERS is 2, and none of "
        "these versions is idle and may sleep."
    )


def test_a_version_with_too_few_workers_for_want_of_memory_says_so():
    desired = desired_of(1, replicas=3)
    (wanted,) = desired.values()
    observed = Observed(needs={wanted.key: a_need()}, held_back={wanted.key: HeldBack(0, "Waiting for memory.")})
    found = standing(wanted, 3, [a_worker(wanted)], observed)
    assert (found.state, found.message) == (EntityState.READY, "Serving with 1 of 3 workers. Waiting for memory.")
    assert standing(wanted, 1, [a_worker(wanted)], observed).message == ""


@pytest.mark.parametrize(
    ("size", "words"), [(0, "0 MB"), (3_100_000, "4 MB"), (64_000_000, "60 MB"), (3_210_000_000, "3.2 GB")]
)
def test_a_size_in_words(size, words):
    assert in_words(size) == words
