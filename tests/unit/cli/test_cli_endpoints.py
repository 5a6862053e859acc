import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from support.routes import endpoint_of

from mlflow_serving_plugin.cli import endpoint_waking
from mlflow_serving_plugin.domain.entity import EntityKey, ModelRef
from mlflow_serving_plugin.domain.routes import EntityRoute, Routes, serving_key
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.host.messages import Wake
from mlflow_serving_plugin.host.snapshot import publish
from mlflow_serving_plugin.testing import MemoryRegistry

CREATE = ("endpoints", "create", "split", "--entity", "old=iris/1", "--entity", "new=iris@champion")
SHARES = ("--traffic", "old=90", "--traffic", "new=10")


@pytest.fixture(autouse=True)
def models(world):
    registry: MemoryRegistry = world.registry
    registry.add("iris", 1, 2, created_ms=1000)
    registry.put(replace(registry.models["default", "iris"], aliases={"champion": 2}))


def ready(world, name="split"):
    """The update under way has succeeded."""
    endpoint = world.store.find_serving("default", name)
    world.store.settle(endpoint, lambda spec: spec.succeed(5), "ENDPOINT_UPDATED", "It is served.")


def spec(world):
    return world.store.find_serving("default", "split").spec


def test_create_makes_entities_and_their_shares(world, run):
    result = run(*CREATE, *SHARES)
    assert (result.exit_code, result.stdout) == (0, "Serving endpoint 'split' is created.\n"), result.output
    config = spec(world).pending
    assert [(entity.name, entity.model, entity.version) for entity in config.entities] == [
        ("old", "iris", "1"),
        ("new", "iris", "@champion"),
    ]
    assert config.traffic == (("old", 90), ("new", 10))
    assert "split" in run("endpoints", "list").stdout
    shown = run("endpoints", "get", "split").stdout
    assert "being updated" in shown
    assert "new (next)" in shown


def test_traffic_and_shadow_change_nothing_else_and_an_update_keeps_the_shadow(world, run):
    run(*CREATE, *SHARES)
    ready(world)
    before = spec(world).active
    assert run("endpoints", "shadow", "split", "new", "--percentage", "20", "--tolerance", "0.1").exit_code == 0
    ready(world)
    assert run("endpoints", "traffic", "split", "old=100", "new=0").exit_code == 0
    ready(world)
    after = spec(world).active
    assert (after.entities, after.traffic) == (before.entities, (("old", 100), ("new", 0)))
    assert (after.shadow.entity, after.shadow.percentage, after.shadow.tolerance) == ("new", 20.0, 0.1)
    shown = run("endpoints", "get", "split").stdout
    assert "Shadow: new scores 20 % of the requests: 0 equal, 0 within the tolerance, 0 differ" in shown
    assert json.loads(run("endpoints", "get", "split", "--json").stdout)["shadow"]["requests"] == 0
    entities = ("--entity", "old=iris/2", "--entity", "new=iris@champion", *SHARES)
    assert run("endpoints", "update", "split", *entities).exit_code == 0
    ready(world)
    assert spec(world).active.shadow == after.shadow
    run("endpoints", "shadow", "split", "--off")
    ready(world)
    assert spec(world).active.shadow is None
    assert run("endpoints", "delete", "split").exit_code == 0
    assert "There are no serving endpoints" in run("endpoints", "list").stdout


@pytest.mark.parametrize(
    ("text", "name", "model", "version"),
    [
        ("iris/1", "iris-1", "iris", "1"),
        ("iris/@champion", "iris-champion", "iris", "@champion"),
        ("models:/iris/1", "iris-1", "iris", "1"),
        ("new=models:/iris@champion", "new", "iris", "@champion"),
        ("me@home/1", "me_home-1", "me@home", "1"),
        ("new=a=b/1", "new", "a=b", "1"),
    ],
)
def test_an_entity_may_be_written_as_mlflow_writes_versions_and_models_may_have_odd_names(
    world, run, text, name, model, version
):
    for odd in ("me@home", "a=b"):
        world.registry.add(odd, 1, created_ms=1000)
    result = run("endpoints", "create", "split", "--entity", text)
    assert result.exit_code == 0, result.output
    (entity,) = spec(world).pending.entities
    assert (entity.name, entity.model, entity.version) == (name, model, version)


@pytest.mark.parametrize(
    "command",
    [("traffic", "split", "new=100"), ("update", "split", "--entity", "new=iris@champion")],
)
def test_a_shadow_that_gets_all_the_traffic_is_promoted_and_the_end_of_the_shadow_is_said(world, run, command):
    run(*CREATE, *SHARES)
    ready(world)
    run("endpoints", "shadow", "split", "new")
    ready(world)
    result = run("endpoints", *command)
    assert (result.exit_code, "The shadow 'new' ends with this update.\n" in result.stdout) == (0, True), result.output
    assert (spec(world).pending.shadow, dict(spec(world).pending.traffic)["new"]) == (None, 100)


def test_an_update_keeps_the_shadow_of_an_entity_whose_name_is_the_default(world, run):
    entities = ("--entity", "iris/1", "--entity", "iris/2")
    run("endpoints", "create", "split", *entities, "--traffic", "iris-1=100")
    ready(world)
    run("endpoints", "shadow", "split", "iris-2")
    ready(world)
    run("endpoints", "update", "split", *entities, "--traffic", "iris-1=90", "--traffic", "iris-2=10")
    assert spec(world).pending.shadow.entity == "iris-2"


def test_cancel_ends_the_update_and_the_present_configuration_stays(world, run):
    run(*CREATE, *SHARES)
    ready(world)
    before = spec(world).active
    run("endpoints", "traffic", "split", "old=1", "new=99")
    assert run("endpoints", "cancel", "split").stdout == "The update of 'split' is canceled.\n"
    assert (spec(world).active, spec(world).pending) == (before, None)
    assert "update canceled" in run("endpoints", "get", "split").stdout
    assert "'split' is not being updated" in run("endpoints", "cancel", "split").stderr


def test_prewarm_waits_until_what_sleeps_is_awake(world, run, monkeypatch):
    run(*CREATE, *SHARES)
    ready(world)
    endpoint = world.store.find_serving("default", "split")
    keys = [EntityKey(endpoint.id, name) for name in ("old.1", "new.1")]

    def show(state):
        """Be the controller: what is asleep wakes while the command waits."""
        entities = [EntityRoute(key, ModelRef("default", "iris", 1), state, "", "None", 0) for key in keys]
        route = replace(endpoint_of(*entities, name="split"), id=endpoint.id, generation=endpoint.generation)
        found = {str(key): entity for key, entity in zip(keys, entities, strict=True)}
        publish(world.paths.routes, Routes(6, 6, {serving_key("default", "split"): route}, found))

    show(EntityState.ASLEEP)
    world.inbox.wait(5)
    assert run("endpoints", "prewarm", "split", "new").stdout == "'split' is being woken.\n"
    assert world.inbox.wait(5) == [Wake(endpoint.id, "new.1")]
    monkeypatch.setattr(endpoint_waking, "time", SimpleNamespace(sleep=lambda _: show(EntityState.READY)))
    assert run("endpoints", "prewarm", "split", "--wait").stdout == "'split' is awake.\n"
    show(EntityState.FAILED)
    assert "Not every entity can be woken. old: " in run("endpoints", "prewarm", "split").stderr
    assert "has no entity 'x'" in run("endpoints", "prewarm", "split", "x").stderr


def test_a_file_holds_the_whole_configuration(world, run, tmp_path):
    file = tmp_path / "config.json"
    entity = {"name": "a", "entity_name": "iris", "entity_version": "1", "workload_size": "Medium"}
    file.write_text(json.dumps({"served_entities": [entity]}))
    assert run("endpoints", "create", "split", "--file", str(file)).exit_code == 0
    assert spec(world).pending.entities[0].sizing["workload_size"] == "Medium"


def test_a_file_that_get_has_printed_makes_an_endpoint_with_the_same_tags_and_limits(world, run, tmp_path):
    assert run(*CREATE, *SHARES).exit_code == 0
    shown = json.loads(run("endpoints", "get", "split", "--json").stdout)
    more = {"tags": [{"key": "team", "value": "blue"}], "rate_limits": [{"calls": 5, "renewal_period": "minute"}]}
    file = tmp_path / "endpoint.json"
    file.write_text(json.dumps({**shown, **more, "config": shown["pending_config"]}))
    created = run("endpoints", "create", "other", "--file", str(file))
    assert created.exit_code == 0, created.output
    found = json.loads(run("endpoints", "get", "other", "--json").stdout)
    assert (found["name"], found["tags"], found["rate_limits"][0]["calls"]) == ("other", more["tags"], 5)


@pytest.mark.parametrize("text", ["", "5", "[]", "null", '{"config": 5}', '{"config": null}'])
def test_a_file_that_holds_no_configuration_is_refused(world, run, tmp_path, text):
    file = tmp_path / "config.json"
    file.write_text(text)
    result = run("endpoints", "create", "split", "--file", str(file))
    assert (result.exit_code, "must hold one JSON object" in result.stderr) == (2, True), result.output


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("create", "split"), 2, "--entity"),
        (("create", "split", "--entity", "iris"), 2, "[NAME=]MODEL/VERSION"),
        ((*CREATE[1:], "--traffic", "old"), 2, "ENTITY=PERCENT"),
        ((*CREATE[1:], "--traffic", "old=90"), 1, "config.traffic_config.routes: have 90 % in all"),
        (("create", "split", "--entity", "nothing/1"), 1, "entity_name: "),
        (("shadow", "split"), 2, "either the name of an entity or --off"),
        (("get", "nothing"), 1, "no serving endpoint 'nothing'"),
        *((("get", name), 1, f"'{name}' is not the name of a serving endpoint") for name in ("", "..", "a/b", "a?b")),
        (("shadow", "split", "old", "--percentage", "nan"), 1, "no serving endpoint 'split'"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_made(world, run, arguments, code, said):
    result = run("endpoints", *arguments)
    assert (result.exit_code, said in result.stderr) == (code, True), result.output
    assert world.store.find_all_serving() == []
