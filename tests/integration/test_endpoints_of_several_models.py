"""The controller and serving endpoints: updates that succeed and that fail, on workers that are only said to run."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from support import eventually
from support.controller import a_model, a_version
from support.world import WS, World

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.routes import serving_key
from mlflow_serving_plugin.domain.serving import ServedConfig, ServedEntity, ServingSpec
from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.errors import AlreadyExistsError, ConflictError, NotFoundError
from mlflow_serving_plugin.host.messages import Changed, send_nudge

NEW = ServingSpec("alice", 1, 1)


def config(*versions, name="iris", **options):
    entities = tuple(
        ServedEntity(f"e{index}", name, str(version), 1, EndpointConfig(**options))
        for index, version in enumerate(versions)
    )
    return ServedConfig(0, entities, (("e0", 100),))


@pytest.fixture
def world(paths):
    made = World(paths)
    made.versions(a_version(1), a_version(2))
    yield made
    made.close()


def create(world, wanted):
    made = world.store.create(WS, "split", NEW.begin(wanted, 1), by="alice")
    send_nudge(world.paths.nudges, Changed(WS, "iris"))
    return made


def update(world, wanted):
    world.store.change(spec_of(world), lambda spec: spec.begin(wanted, 2), "ENDPOINT_CONFIGURED", "It was changed")
    send_nudge(world.paths.nudges, Changed(WS, "iris"))


def spec_of(world):
    return world.store.find_serving(WS, "split")


def settled(world):
    world.until(lambda: spec_of(world).spec.pending is None)
    return spec_of(world).spec


def answering(world):
    return set(world.routes().endpoints[serving_key(WS, "split")].served.values())


def live(world):
    return {worker.key.name for worker in world.backend.live()}


@pytest.fixture
def served(world):
    """An endpoint of version 1, active."""
    world.start()
    create(world, config(1))
    settled(world)
    return world


def test_an_update_is_active_when_all_entities_are_ready_and_unchanged_ones_keep_their_workers(served):
    assert (live(served), served.kinds()) == ({"e0.1"}, [])
    before = served.backend.live()
    update(served, config(1, 2))
    spec = settled(served)
    assert (spec.active.version, spec.failure) == (2, "")
    served.until(lambda: answering(served) == {"e0.1", "e1.2"})
    assert served.backend.live()[:1] == before
    update(served, config(2))
    settled(served)
    served.until(lambda: live(served) == {"e0.3"})
    kinds = [event.type for event in served.store.audit(page_token=None, limit=20)[0]]
    assert kinds.count("ENDPOINT_UPDATED") == 3


def test_a_shadow_that_gets_traffic_gets_other_workers_and_is_never_without_one(served):
    def of_shadow():
        return [worker for worker in served.backend.live() if worker.key.name == "e1.2"]

    update(served, replace(config(1, 2), shadow=Shadow("e1", 100.0)))
    settled(served)
    (before,) = eventually(lambda: [worker for worker in of_shadow() if worker.ready])
    counts = []

    def only_others():
        counts.append(sum(worker.ready for worker in of_shadow()))
        return counts[-1] == 1 and {worker.fingerprint for worker in of_shadow()}.isdisjoint({before.fingerprint})

    update(served, replace(config(1, 2), traffic=(("e0", 50), ("e1", 50))))
    served.until(only_others)
    settled(served)
    assert min(counts) == 1
    assert of_shadow()[0].worker_id != before.worker_id


def test_an_update_that_fails_ends_its_entities_and_the_configuration_before_serves_on(served):
    served.backend.fail(EntityKey(spec_of(served).id, "e0.2"), "ModuleNotFoundError: no soup")
    update(served, config(2))
    spec = settled(served)
    assert spec.active.version == 1
    assert "Entity 'e0': ModuleNotFoundError: no soup" in spec.failure
    served.until(lambda: live(served) == {"e0.1"})
    assert answering(served) == {"e0.1"}


def test_a_host_that_serves_no_endpoint_yet_is_seen_by_others(world):
    world.start()
    world.until(lambda: world.store.hosts(0) == {world.paths.host_name()})


def test_an_update_waits_for_every_host_that_was_seen_lately(served):
    now_ms = int(time.time() * 1000)
    served.store.see_host("gone", now_ms - 40_000)
    served.store.see_host("there", now_ms + 300_000)
    update(served, config(1, 2))
    own = served.paths.host_name()
    served.until(lambda: spec_of(served).spec.pending.ready_on == (own,))
    assert served.store.hosts(now_ms - 30_000) == {own, "there"}

    def ready(spec):
        return replace(spec, pending=replace(spec.pending, ready_on=(*spec.pending.ready_on, "there")))

    assert served.store.settle(spec_of(served), ready)
    spec = settled(served)
    assert (spec.active.version, spec.active.ready_on, spec.failure) == (2, (), "")
    kinds = [event.type for event in served.store.audit(page_token=None, limit=20)[0]]
    assert kinds.count("ENDPOINT_UPDATED") == 2


def test_an_update_that_fails_on_this_host_waits_for_no_other(served):
    served.store.see_host("there", int(time.time() * 1000) + 300_000)
    served.backend.fail(EntityKey(spec_of(served).id, "e0.2"), "No.")
    update(served, config(2))
    assert "No." in settled(served).failure


def test_a_first_configuration_that_fails_is_tried_further(world):
    world.start()
    endpoint = world.store.create(WS, "split", NEW.begin(config(1), 1), by=None)
    world.backend.fail(EntityKey(endpoint.id, "e0.1"), "No.")
    world.nudge("iris")
    assert settled(world).failure
    world.backend.recover(EntityKey(endpoint.id, "e0.1"))
    world.until(lambda: live(world) == {"e0.1"})


def test_a_version_that_the_registry_does_not_have_fails_the_update(served):
    update(served, config(7))
    assert "the registry has no version 7 of registered model 'iris'" in settled(served).failure


def test_an_alias_is_followed_and_so_is_a_renamed_model(served):
    served.versions(a_version(1), a_version(2), champion=1)
    update(served, config("@champion"))
    settled(served)
    served.versions(a_version(1), a_version(2), champion=2)
    key = f"{spec_of(served).id}/e0.2"
    served.until(lambda: served.routes().entities[key].model.version == 2)
    served.registry.rename("iris", "rose")
    served.nudge("rose")
    served.nudge("iris")
    served.until(lambda: spec_of(served).spec.models == ("rose",))
    served.until(lambda: served.routes().entities[key].model.name == "rose")


def test_a_model_and_a_serving_endpoint_may_have_one_name(served):
    served.registry.put(a_model("split", a_version(1), created_ms=7))
    served.enable("split")
    served.until_ready(1, name="split")
    served.store.delete(spec_of(served), by="bob")
    served.until(lambda: serving_key(WS, "split") not in served.routes().endpoints)
    assert served.route("split") is not None
    served.until(lambda: live(served) == {"1"})


def test_the_store_keeps_serving_endpoints_apart(store):
    made = store.create(WS, "split", NEW.begin(config(1), 1), by="alice")
    assert store.find_serving(WS, "split") == made == store.enabled()[0]
    assert store.find_all_serving() == [made]
    assert store.find(WS, "split") is None
    with pytest.raises(AlreadyExistsError):
        store.create(WS, "split", NEW, by=None)
    assert store.create("team", "split", NEW, by=None).id != made.id

    def refuse(spec):
        raise ConflictError("No.")

    with pytest.raises(ConflictError):
        store.change(made, refuse, "ENDPOINT_CONFIGURED", "It was changed")
    assert store.find_serving(WS, "split") == made
    changed = store.change(made, lambda spec: replace(spec, description="ü"), "ENDPOINT_TAGGED", "It", by="eve")
    assert (changed.generation, changed.spec.description) == (made.generation + 1, "ü")
    revision = store.revision()
    assert not store.settle(made, lambda spec: spec, "ENDPOINT_UPDATED", "Nothing.")
    assert store.settle(made, lambda spec: spec.succeed(9), "ENDPOINT_UPDATED", "Done.")
    assert store.revision() > revision
    store.delete(made, by="bob")
    store.delete(made, by="bob")
    assert store.find_serving(WS, "split") is None
    assert not store.settle(made, lambda spec: spec.fail("x", 9), "ENDPOINT_UPDATE_FAILED", "Gone.")
    with pytest.raises(NotFoundError):
        store.change(made, lambda spec: spec, "ENDPOINT_TAGGED", "It")
    assert store.audit(page_token=None, limit=1)[0][0].message == "Serving endpoint 'split' was deleted by bob."
