"""How many workers each version is to have: by its configuration, and none while it sleeps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.controller import TIMEOUT_S, a_model, a_need, a_version, a_view, a_worker, an_endpoint, desired_of

from mlflow_serving_plugin.controller.backoff import Failure
from mlflow_serving_plugin.controller.desired import desire
from mlflow_serving_plugin.controller.proofs import Proof, Proofs
from mlflow_serving_plugin.controller.scale import scale
from mlflow_serving_plugin.controller.standing import Observed, standing
from mlflow_serving_plugin.domain.config_rules import ServerRules
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.states import EntityState

K1 = EntityKey("e-iris", "1")
SLEEPER = desired_of(1, min_replicas=0, idle_timeout_s=10.0)
(WANTED,) = SLEEPER.values()
NOW = 1000.0
PROVED = {K1: Proof(WANTED.fingerprint, True, 0, "", "Batching on.")}
FAILED = {K1: Failure(1, 1e9, "no memory", served=True)}
READY = {"workers": (a_worker(WANTED),)}


@pytest.mark.parametrize(
    ("case", "desired", "observed", "used_at", "replicas"),
    [
        ("says nothing of sleep", desired_of(1), {"proofs": PROVED}, None, 1),
        ("has not proved itself", SLEEPER, {}, None, 1),
        ("proved itself as something else", SLEEPER, {"proofs": {K1: replace(PROVED[K1], fingerprint="x")}}, None, 1),
        ("proved itself before this start", SLEEPER, {"proofs": PROVED}, None, 0),
        ("got ready since the last look", SLEEPER, {"proofs": PROVED} | READY, None, 1),
        ("was used just now", SLEEPER, {"proofs": PROVED} | READY, NOW - 9.9, 1),
        ("was idle for its time", SLEEPER, {"proofs": PROVED} | READY, NOW - 10, 0),
        ("was woken", SLEEPER, {"proofs": PROVED}, NOW, 1),
        ("may have more workers", desired_of(1, min_replicas=0, replicas=3), {"proofs": PROVED}, NOW, 1),
        ("does not start again", SLEEPER, {"proofs": PROVED, "failures": FAILED}, NOW - 99, 1),
        ("failed once and serves", SLEEPER, {"proofs": PROVED, "failures": FAILED} | READY, NOW - 99, 0),
    ],
)
def test_the_number_of_workers_of_a_version_that(case, desired, observed, used_at, replicas):
    used = {} if used_at is None else {K1: used_at}
    assert scale(desired, Observed(**observed), used, {}, NOW) == {K1: replicas}


@pytest.mark.parametrize(
    ("observed", "replicas", "state"),
    [
        ({}, 0, EntityState.ASLEEP),
        ({}, 1, EntityState.WAKING),
        ({"launching": {K1: 1}}, 1, EntityState.WAKING),
        ({"needs": {K1: a_need(key="a")}}, 1, EntityState.BUILDING),
        ({"failures": {K1: Failure(1, 1e9, "killed", served=True)}}, 1, EntityState.WAKING),
        ({"failures": {K1: Failure(2, 1e9, "killed", served=True, starting=True)}}, 1, EntityState.FAILED),
        (READY, 1, EntityState.READY),
        (READY, 0, EntityState.READY),
    ],
)
def test_the_state_of_a_version_that_may_sleep(observed, replicas, state):
    observed = Observed(**{"needs": {K1: a_need()}, "proofs": PROVED} | observed)
    workers = observed.by_key().get(K1, [])
    assert standing(WANTED, replicas, workers, observed).state is state


@pytest.mark.parametrize(
    ("config", "rules", "fewest", "idle_timeout_s"),
    [
        ({}, {}, 1, 1800.0),
        ({"replicas": 3}, {}, 3, 1800.0),
        ({"min_replicas": 0}, {}, 0, 1800.0),
        ({}, {"min_replicas": 0, "idle_timeout_s": 5.0}, 0, 5.0),
        ({"min_replicas": 1, "idle_timeout_s": 7.0}, {"min_replicas": 0, "idle_timeout_s": 5.0}, 1, 7.0),
        ({"replicas": 2}, {"min_replicas": 4}, 2, 1800.0),
        ({}, {"min_replicas": 2, "max_replicas": 4}, 2, 1800.0),
    ],
)
def test_the_server_s_fewest_replicas_and_idle_timeout_count_without_the_endpoint_s_own(
    config, rules, fewest, idle_timeout_s
):
    view = a_view((an_endpoint(**config), a_model("iris", a_version(1))))
    (wanted,) = desire(view, TIMEOUT_S, ServerRules(**rules)).values()
    assert (wanted.scaling.min_replicas, wanted.scaling.idle_timeout_s) == (fewest, idle_timeout_s)


def test_a_change_of_the_sleep_alone_replaces_no_worker():
    assert desired_of(1)[K1].fingerprint == WANTED.fingerprint


def test_what_proved_itself_is_known_after_a_restart(tmp_path):
    before = Proofs(tmp_path / "proofs.json")
    before.add(a_worker(WANTED, note="Batching on."))
    before.add(replace(a_worker(WANTED), key=EntityKey("e-iris", "2")))
    before.keep({K1})
    before.save()
    after = Proofs(tmp_path / "proofs.json")
    assert after.by_key == PROVED
    after.drop(K1)
    after.save()
    assert Proofs(tmp_path / "proofs.json").by_key == {}


@pytest.mark.parametrize("content", [b"", b"[]", b'{"e": 1}', b'{"nokey": {}}', b"\xff"])
def test_a_damaged_file_of_proofs_costs_a_start_and_nothing_else(tmp_path, content):
    (tmp_path / "proofs.json").write_bytes(content)
    assert Proofs(tmp_path / "proofs.json").by_key == {}
