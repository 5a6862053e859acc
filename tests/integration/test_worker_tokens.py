"""Tokens of workers with ``tracking: on``: how long each counts, and what is left of it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sqlalchemy import text
from support import eventually
from support.controller import TIMEOUT_S, a_version
from support.world import WS, World

from mlflow_serving_plugin.access.tokens import digest_of
from mlflow_serving_plugin.backends.base import OutOfSightError
from mlflow_serving_plugin.controller.desired import View, desire
from mlflow_serving_plugin.controller.tasks import Tasks
from mlflow_serving_plugin.controller.tracking import Tracking
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.serving import ServedConfig, ServedEntity, ServingSpec
from mlflow_serving_plugin.domain.tracking import TrackingRules, WorkerToken
from mlflow_serving_plugin.store.worker_tokens import WorkerTokenStore

RULES = TrackingRules("http://127.0.0.1:5000", has_users=True)
LENT = EndpointConfig(tracking="on", tracking_owner={"name": "ada", "account": "7"})
LATER_MS = 2**50


@pytest.fixture
def world(paths):
    made = World(paths)
    made.tokens = made.worker_tokens = WorkerTokenStore(made.engine)
    made.tracking = RULES
    made.given = []
    made.backend.before_launch = lambda spec: made.given.append(spec.tracking["MLFLOW_TRACKING_TOKEN"])
    yield made
    made.close()


def count(world):
    with world.engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM serving_worker_tokens"))


def lend(world, config=LENT):
    world.store.enable(WS, "iris", model_created_ms=1, config=config, by="ada")
    return world.store.find(WS, "iris")


def keep(world, endpoint, *, entity="1", expiry_ms=LATER_MS):
    token = WorkerToken(f"t{expiry_ms}", endpoint.id, entity, "ada", "7", expiry_ms)
    world.tokens.add_worker_token(token, f"digest {expiry_ms}")
    return token, f"digest {expiry_ms}"


def audited(world):
    return [event.type for event in reversed(world.store.audit(page_token=None, limit=100)[0])]


def test_a_token_counts_for_as_long_as_the_same_user_lends_the_rights(world):
    endpoint = lend(world)
    token, digest = keep(world, endpoint)
    assert world.tokens.find_worker_token(digest) == replace(token, workspace=WS, model="iris")
    assert world.tokens.find_worker_token("another") is None
    for config in (replace(LENT, tracking_owner={"name": "ben", "account": "8"}), EndpointConfig()):
        lend(world, config)
        assert world.tokens.find_worker_token(digest) is None
        lend(world)
    world.store.rename(endpoint, "flowers")
    assert world.tokens.find_worker_token(digest).model == "flowers"
    world.store.disable(WS, "flowers", by="ada")
    assert world.tokens.find_worker_token(digest) is None
    assert audited(world).count("TRACKING_ON") == 4


def test_a_token_of_a_serving_endpoint_counts_for_its_entity(world):
    entities = (ServedEntity("a", "iris", "1", 1, LENT), ServedEntity("b", "iris", "1", 1, EndpointConfig()))
    spec = ServingSpec("ada", 1, 1).begin(ServedConfig(0, entities, (("a", 50), ("b", 50))), 1)
    endpoint = world.store.create(WS, "split", spec, by="ada")
    assert world.tokens.find_worker_token(keep(world, endpoint, entity="a.1")[1]).model == "iris"
    assert world.tokens.find_worker_token(keep(world, endpoint, entity="b.1", expiry_ms=LATER_MS + 1)[1]) is None
    world.tokens.forget_tracking_owner("ada")
    configs = world.store.find_serving(WS, "split").spec.entity_configs
    assert [(config.tracking, config.tracking_owner) for config in configs] == [("off", {}), ("off", {})]
    assert audited(world) == ["ENDPOINT_CREATED", "TRACKING_ON", "TRACKING_ENDED"]


def test_tracking_is_off_when_its_user_is_deleted_and_the_audit_says_so(world):
    before = lend(world)
    world.tokens.forget_tracking_owner("ben")
    assert world.store.find(WS, "iris") == before
    world.tokens.forget_tracking_owner("ada")
    after = world.store.find(WS, "iris")
    assert (after.config, after.generation > before.generation) == (EndpointConfig(), True)
    assert audited(world)[-1] == "TRACKING_ENDED"


def test_lost_rights_are_told_once(world):
    token, _ = keep(world, lend(world))
    for _ in range(3):
        world.tokens.worker_token_refused(token, "User ada may not manage registered model 'iris' any more.")
    assert audited(world).count("TRACKING_ENDED") == 1


def test_a_token_that_nobody_puts_off_is_removed(world):
    endpoint = lend(world)
    kept, _ = keep(world, endpoint, expiry_ms=1000)
    keep(world, endpoint, expiry_ms=1001)
    world.tokens.renew_worker_tokens([kept.id], LATER_MS, 999)
    assert count(world) == 2
    world.tokens.renew_worker_tokens([], LATER_MS, 2000)
    assert count(world) == 1


def test_each_launch_has_a_token_of_its_own_that_ends_with_its_worker(world):
    lend(world)
    world.start()
    world.until_ready(1)
    (first,) = world.given
    (worker,) = world.backend.live()
    assert world.tokens.find_worker_token(digest_of(first)).id == worker.token_id
    world.backend.die(worker.worker_id, has_served=True)
    world.until(lambda: len(world.given) == 2 and count(world) == 1)
    assert world.tokens.find_worker_token(digest_of(first)) is None
    assert world.tokens.find_worker_token(digest_of(world.given[1])) is not None
    lend(world, EndpointConfig())
    world.backend.before_launch = lambda spec: world.given.append(dict(spec.tracking))
    world.nudge("iris")
    world.until(lambda: count(world) == 0)
    world.until(lambda: world.given[2:] == [{}])


def test_a_launch_that_fails_leaves_no_token(world):
    endpoint = lend(world)
    world.backend.fail(EntityKey(endpoint.id, "1"), "no module named foo")
    world.start()
    world.until(lambda: "VERSION_FAILED" in world.kinds())
    # Between two of its retries.
    world.until(lambda: world.given and count(world) == 0)


def test_a_worker_that_may_have_come_out_of_sight_keeps_its_token(world):
    def lose(spec):
        world.given.append(spec.token_id)
        raise OutOfSightError("Ray was lost while the worker started.")

    lend(world)
    world.backend.before_launch = lose
    world.start()
    world.until(lambda: "VERSION_FAILED" in world.kinds())
    assert count(world) >= 1


def test_a_token_that_cannot_be_stored_starts_no_worker(world):
    lend(world)
    with world.engine.begin() as connection:
        connection.execute(text("ALTER TABLE serving_worker_tokens RENAME TO away"))
    world.start()
    world.until(lambda: "VERSION_FAILED" in world.kinds())
    assert world.backend.launched == []


def test_a_next_controller_puts_off_the_tokens_of_the_workers_that_it_finds(world):
    lend(world)
    world.start()
    world.until_ready(1)
    (before,) = world.backend.live()
    world.stop()
    with world.engine.begin() as connection:
        soon_ms = int((time.time() + 60) * 1000)
        connection.execute(text(f"UPDATE serving_worker_tokens SET expiry_ms = {soon_ms}"))
    world.start()
    found = eventually(lambda: world.tokens.find_worker_token(digest_of(world.given[0])))
    world.until(lambda: world.tokens.find_worker_token(digest_of(world.given[0])).expiry_ms > soon_ms)
    assert (found.id, world.backend.live()) == (before.token_id, [before])


def test_a_server_without_users_gives_an_address_and_no_token(world):
    world.versions(a_version(1))
    lent = replace(LENT, tracking_owner={})
    endpoint = lend(world, lent)
    (wanted,) = desire(View({endpoint.id: endpoint}, world.registry.models), TIMEOUT_S).values()
    open_server = Tracking(TrackingRules(RULES.uri), None, world.settings, Tasks(lambda: None))
    assert open_server.equip(wanted) == ({"MLFLOW_TRACKING_URI": RULES.uri}, "")
    assert count(world) == 0
