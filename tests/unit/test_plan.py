"""From what should run and what does to the actions that are due: inputs, and the set of actions."""

from __future__ import annotations

from collections import Counter

import pytest
from support.controller import TIMEOUT_S, a_model, a_need, a_version, a_view, a_worker, an_endpoint, desired_of

from mlflow_serving_plugin.backends.base import WorkerPhase
from mlflow_serving_plugin.controller.backoff import Failure
from mlflow_serving_plugin.controller.desired import desire
from mlflow_serving_plugin.controller.plan import Build, Fetch, Launch, Stop, plan
from mlflow_serving_plugin.controller.scale import scale
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.domain.entity import EntityKey

K1, K2, K3 = (EntityKey("e-iris", n) for n in "123")
NEEDS = {key: a_need(f"/models/{key.name}") for key in (K1, K2, K3)}
ONE = desired_of(1)[K1]
TWO = desired_of(1, replicas=2)[K1]
OLD = "an earlier fingerprint"


def actions(desired, *, now=100.0, launch_slots=10, fetch_slots=10, build_slots=10, **observed):
    """What is due, as a multiset: the order is nobody's business but the tests' that ask for it."""
    observed.setdefault("needs", NEEDS)
    slots = {"launch_slots": launch_slots, "fetch_slots": fetch_slots, "build_slots": build_slots}
    return Counter(plan(desired, scale(desired), Observed(**observed), now=now, **slots))


def wanted(*numbers, **config):
    return desired_of(*numbers, **config)


STARTING, DEAD = WorkerPhase.STARTING, WorkerPhase.DEAD
NEVER_READY = {"phase": DEAD, "ready_since_ms": None}

TABLE = {
    "nothing desired and nothing there is nothing to do": (wanted(), {}, []),
    "a version without files is fetched, not launched": (wanted(1), {"needs": {}}, [Fetch(K1)]),
    "a version being fetched is not fetched again": (wanted(1), {"needs": {}, "fetching": {K1}}, []),
    "a version with files is launched": (wanted(1), {}, [Launch(K1)]),
    "a version being launched is not launched again": (wanted(1), {"launching": {K1: 1}}, []),
    "a version that is served is left alone": (wanted(1), {"workers": (a_worker(ONE),)}, []),
    "a served version needs no files": (wanted(1), {"workers": (a_worker(ONE),), "needs": {}}, []),
    "a starting worker is left to its launch": (
        wanted(1),
        {"workers": (a_worker(ONE, phase=STARTING),), "launching": {K1: 1}},
        [],
    ),
    "a launch that is ready but not yet settled is not counted short": (
        wanted(1),
        {"workers": (a_worker(ONE),), "launching": {K1: 1}},
        [],
    ),
    "a version whose environment is not there has it built, and is not launched": (
        wanted(1),
        {"needs": {K1: a_need(key="a")}},
        [Build(K1)],
    ),
    "an environment that is being built is not built again": (
        wanted(1),
        {"needs": {K1: a_need(key="a")}, "building": {"a": ""}},
        [],
    ),
    "versions that need one environment have it built once": (
        wanted(1, 2, 3),
        {"needs": {K1: a_need(key="a"), K2: a_need(key="b"), K3: a_need(key="a")}},
        [Build(K3), Build(K2)],
    ),
    "a build holds up no version that needs none": (
        wanted(1, 2),
        {"needs": {K1: NEEDS[K1], K2: a_need(key="a")}, "building": {"a": ""}},
        [Launch(K1)],
    ),
    "the old worker stays while an environment is built for its successor": (
        wanted(1),
        {"workers": (a_worker(ONE, fingerprint=OLD),), "needs": {K1: a_need(key="a")}},
        [Build(K1)],
    ),
    "a served version needs no environment": (
        wanted(1),
        {"workers": (a_worker(ONE),), "needs": {K1: a_need(key="a")}},
        [],
    ),
    "each version gets what it lacks": (
        wanted(1, 2, 3),
        {"workers": (a_worker(ONE),), "needs": {K1: NEEDS[K1], K2: NEEDS[K2]}},
        [Launch(K2), Fetch(K3)],
    ),
    "replicas are all launched": (wanted(1, replicas=3), {}, [Launch(K1)] * 3),
    "replicas that are missing are launched, counting those under way": (
        wanted(1, replicas=4),
        {"workers": (a_worker(ONE),), "launching": {K1: 1}},
        [Launch(K1)] * 2,
    ),
    "replicas too many are stopped, the youngest first": (
        wanted(1),
        {"workers": (a_worker(ONE, "young", started_ms=9), a_worker(ONE, "old", started_ms=1))},
        [Stop("young")],
    ),
    "a worker that is no longer wanted is stopped, whatever its phase": (
        wanted(),
        {"workers": (a_worker(ONE, "a"), a_worker(ONE, "b", STARTING), a_worker(ONE, "c", DEAD))},
        [Stop("a"), Stop("b"), Stop("c")],
    ),
    "an archived version's workers stop and the other version's stay": (
        wanted(1),
        {"workers": (a_worker(ONE, "stays"), a_worker(desired_of(2)[K2], "goes"))},
        [Stop("goes")],
    ),
    "a worker on its way out is not stopped again": (wanted(), {"workers": (a_worker(ONE),), "stopping": {"w"}}, []),
    "a worker on its way out does not count as serving": (
        wanted(1),
        {"workers": (a_worker(ONE),), "stopping": {"w"}},
        [Launch(K1)],
    ),
    # Its death is counted when it is cleared away, and only then is it known whether to wait.
    "a dead worker is cleared away before its successor is thought of": (
        wanted(1),
        {"workers": (a_worker(ONE, phase=DEAD),)},
        [Stop("w")],
    ),
    "a dead worker that is being cleared away is replaced": (
        wanted(1),
        {"workers": (a_worker(ONE, phase=DEAD),), "stopping": {"w"}},
        [Launch(K1)],
    ),
    "a worker that died before it was ready is its launch's to clear away": (
        wanted(1),
        {"workers": (a_worker(ONE, **NEVER_READY),), "launching": {K1: 1}},
        [],
    ),
    "the old worker stays while its successor starts": (
        wanted(1),
        {"workers": (a_worker(ONE, fingerprint=OLD),)},
        [Launch(K1)],
    ),
    "the old worker stays while its successor is being launched": (
        wanted(1),
        {"workers": (a_worker(ONE, "old", fingerprint=OLD), a_worker(ONE, "new", STARTING)), "launching": {K1: 1}},
        [],
    ),
    "the old worker goes once its successor is ready": (
        wanted(1),
        {"workers": (a_worker(ONE, "old", fingerprint=OLD), a_worker(ONE, "new"))},
        [Stop("old")],
    ),
    "with two replicas one new one releases one old one": (
        wanted(1, replicas=2),
        {
            "workers": (
                a_worker(ONE, "old-1", fingerprint=OLD),
                a_worker(ONE, "old-2", fingerprint=OLD),
                a_worker(TWO, "new", fingerprint=TWO.fingerprint),
            ),
            "launching": {K1: 1},
        },
        [Stop("old-2")],
    ),
    "an old worker stays when its successor died": (
        wanted(1),
        {"workers": (a_worker(ONE, "old", fingerprint=OLD), a_worker(ONE, "new", DEAD))},
        [Stop("new")],
    ),
    "an old version of a worker needs fetching first when the files are another's": (
        wanted(1),
        {"workers": (a_worker(ONE, fingerprint=OLD),), "needs": {}},
        [Fetch(K1)],
    ),
    "a failed version is left alone until its time": (
        wanted(1),
        {"failures": {K1: Failure(1, 100.5, "no", served=False)}},
        [],
    ),
    "a failed fetch is left alone until its time too": (
        wanted(1),
        {"needs": {}, "failures": {K1: Failure(1, 100.5, "no", served=False)}},
        [],
    ),
    "a failed version is tried again when its time has come": (
        wanted(1),
        {"failures": {K1: Failure(1, 100.0, "no", served=False)}},
        [Launch(K1)],
    ),
    "a failed version holds up no other": (
        wanted(1, 2),
        {"failures": {K1: Failure(9, 500.0, "no", served=False)}},
        [Launch(K2)],
    ),
    "a dead worker is cleared away while its version is left alone": (
        wanted(1),
        {
            "workers": (a_worker(ONE, phase=DEAD),),
            "failures": {K1: Failure(2, 104.0, "died", served=True)},
        },
        [Stop("w")],
    ),
}


@pytest.mark.parametrize("case", TABLE)
def test_the_actions_due_when(case):
    desired, observed, due = TABLE[case]
    assert actions(desired, **observed) == Counter(due)


def test_launches_under_way_take_up_slots_whatever_version_they_are_of():
    assert actions(wanted(1, 2, 3), launch_slots=2, launching={K3: 1}) == Counter([Launch(K2)])


def test_fetches_under_way_take_up_slots():
    assert actions(wanted(1, 2, 3), fetch_slots=2, needs={}, fetching={K3}) == Counter([Fetch(K2)])


def test_builds_under_way_take_up_slots():
    needs = {K1: a_need(key="a"), K2: a_need(key="b"), K3: a_need(key="c")}
    assert actions(wanted(1, 2, 3), build_slots=2, needs=needs, building={"c": "Resolved"}) == Counter([Build(K2)])
    assert actions(wanted(1, 2, 3), build_slots=0, needs=needs) == Counter()


def test_more_under_way_than_there_are_slots_starts_nothing_and_breaks_nothing():
    launching = {EntityKey("e-gone", "1"): 5}
    assert actions(wanted(1), launch_slots=2, launching=launching) == Counter()


def test_no_slots_still_stops_what_is_not_wanted():
    stranger = desired_of(2)[K2]
    assert actions(wanted(1), launch_slots=0, fetch_slots=0, workers=(a_worker(stranger),)) == Counter([Stop("w")])


def test_the_newest_version_gets_the_only_slot():
    desired, slots = wanted(1, 2, 3), {"launch_slots": 1, "fetch_slots": 1, "build_slots": 1}
    found = plan(desired, scale(desired), Observed(needs=NEEDS), now=0.0, **slots)
    assert found == [Launch(K3)]


def test_a_version_for_which_requests_wait_gets_the_only_slot_before_newer_ones():
    desired, slots = wanted(1, 2, 3), {"launch_slots": 1, "fetch_slots": 1, "build_slots": 1}
    assert plan(desired, scale(desired), Observed(needs=NEEDS), now=0.0, **slots, first={K2}) == [Launch(K2)]


def test_stopping_comes_before_starting():
    stranger = desired_of(2)[K2]
    found = plan(
        wanted(1),
        {K1: 1},
        Observed(needs=NEEDS, workers=(a_worker(stranger),)),
        now=0.0,
        launch_slots=1,
        fetch_slots=1,
        build_slots=1,
    )
    assert found == [Stop("w"), Launch(K1)]


@pytest.mark.parametrize(
    "change",
    [
        {"runtime": "mlflow"},
        {"env_manager": "uv"},
        {"memory_limit_mb": 512},
        {"batching": "off"},
        {"max_batch_rows": 8},
        {"max_processes": 99},
        {"max_open_files": 99},
        {"sandbox": "on"},
        {"network": "off"},
        {"environment": {"A": "1"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_changed_worker_setting_starts_a_successor_beside_the_old_one(change):
    assert actions(wanted(1, **change), workers=(a_worker(ONE),)) == Counter([Launch(K1)])


@pytest.mark.parametrize("change", [{"replicas": 1}, {"default_dialect": "legacy"}, {"sandbox": "auto"}], ids=str)
def test_a_changed_setting_that_no_worker_sees_restarts_none(change):
    assert actions(wanted(1, **change), workers=(a_worker(ONE),)) == Counter()


def test_a_number_given_again_to_other_files_is_another_version():
    view = a_view((an_endpoint(), a_model("iris", a_version(1, source="s3://elsewhere"))))
    assert actions(desire(view, TIMEOUT_S), workers=(a_worker(ONE),), needs={}) == Counter([Fetch(K1)])
