"""Databricks' and MLflow's own clients of ``serving-endpoints``, unchanged, on a real server."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from databricks.sdk import WorkspaceClient
from databricks.sdk.errors import InvalidParameterValue, NotFound, ResourceAlreadyExists, ResourceConflict
from databricks.sdk.service.serving import (
    DataframeSplitInput,
    EndpointCoreConfigInput,
    EndpointStateConfigUpdate,
    EndpointTag,
    RateLimit,
    RateLimitKey,
    RateLimitRenewalPeriod,
    Route,
    ServedEntityInput,
    TrafficConfig,
)
from mlflow.deployments import get_deploy_client
from support import eventually
from support.models import Models, register
from support.server import HTTP_S, TrackingServer

PREDICTED = {"petals-1": [0], "champion": [10]}
MODEL, BROKEN = "petals", "petals that do not load"


@pytest.fixture(scope="module")
def server(plain: TrackingServer, models: Models) -> TrackingServer:
    """``MODEL`` has two versions, of which the second is ``@champion``; ``BROKEN`` has one that does not load."""
    register(plain.client, MODEL, models.path("iris-1"))
    register(plain.client, MODEL, models.path("iris-2"))
    plain.client.set_registered_model_alias(MODEL, "champion", "2")
    register(plain.client, BROKEN, models.path("unloadable"))
    return plain


@pytest.fixture
def sdk(server: TrackingServer) -> WorkspaceClient:
    return WorkspaceClient(host=server.url, token="of nobody", auth_type="pat")


@pytest.fixture
def split(sdk: WorkspaceClient) -> Iterator[str]:
    """An endpoint of both versions, 80 to 20."""
    name = "split"
    entities = [entity(1), entity("@champion", name="champion")]
    traffic = TrafficConfig([Route(80, served_model_name="petals-1"), Route(20, served_entity_name="champion")])
    sdk.serving_endpoints.create_and_wait(
        name, config=EndpointCoreConfigInput(name=name, served_entities=entities, traffic_config=traffic)
    )
    yield name
    sdk.serving_endpoints.delete(name)


def entity(version: object, *, model: str = MODEL, **more: object) -> ServedEntityInput:
    return ServedEntityInput(entity_name=model, entity_version=str(version), **more)


def test_the_life_of_an_endpoint_with_databricks_sdk(sdk: WorkspaceClient) -> None:
    api = sdk.serving_endpoints
    config = EndpointCoreConfigInput(name="life", served_entities=[entity(1, workload_size="Small")])
    made = api.create_and_wait("life", config=config, tags=[EndpointTag("team", "flowers")])
    assert (made.config.config_version, made.pending_config, made.state.ready.value) == (1, None, "READY")
    (served,) = made.config.served_entities
    assert (served.name, served.entity_version, served.state.deployment.value) == ("petals-1", "1", "DEPLOYMENT_READY")
    assert [(route.served_model_name, route.traffic_percentage) for route in made.config.traffic_config.routes] == [
        ("petals-1", 100)
    ]
    with pytest.raises(ResourceAlreadyExists):
        api.create("life", config=config)
    changed = api.update_config_and_wait("life", served_entities=[entity(2, scale_to_zero_enabled=True)])
    assert changed.config.config_version == 2
    assert [found.name for found in api.list()].count("life") == 1
    assert api.patch("life", add_tags=[EndpointTag("a")], delete_tags=["team"]).tags == [EndpointTag("a")]
    eventually(lambda: api.query("life", dataframe_records=records()).served_model_name == "petals-2")
    assert api.logs("life", "petals-2").logs is not None
    assert "No environment" in api.build_logs("life", "petals-2").logs
    assert b"mlflow_serving_workers" in api.export_metrics("life").contents.read()
    assert b"/serving-endpoints/life/invocations" in api.get_open_api("life").contents.read()
    assert [level.permission_level.value for level in api.get_permission_levels(made.id).permission_levels]
    assert api.get_permissions(made.id).object_id == f"/serving-endpoints/{made.id}"
    api.delete("life")
    with pytest.raises(NotFound):
        api.get("life")


def records() -> list[dict[str, float]]:
    return [{"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}]


def test_every_form_of_a_query_with_databricks_sdk(sdk: WorkspaceClient, split: str) -> None:
    names, row = list(records()[0]), list(records()[0].values())
    for form in (
        {"dataframe_records": records()},
        {"dataframe_split": DataframeSplitInput(columns=names, data=[row])},
        {"instances": records()},
        {"inputs": records()},
        {"dataframe_records": records(), "client_request_id": "mine"},
    ):
        answer = sdk.serving_endpoints.query(split, **form)
        assert answer.predictions == PREDICTED[answer.served_model_name], form


def test_a_split_holds_sticks_to_a_key_and_can_be_gone_round(server: TrackingServer, split: str) -> None:
    url, body = f"{server.url}/serving-endpoints/{split}", {"dataframe_records": records()}

    def who(path: str = "", **more: object) -> str:
        answer = requests.post(f"{url}{path}/invocations", json={**body, **more}, timeout=HTTP_S)
        return answer.headers["Served-Model-Name"] if answer.status_code == 200 else answer.text

    with requests.Session() as session:
        answers = [session.post(f"{url}/invocations", json=body, timeout=HTTP_S) for _ in range(100)]
    counted = Counter(answer.headers["Served-Model-Name"] for answer in answers)
    # Each of the three web workers counts for itself.
    assert 14 <= counted["champion"] <= 26, counted
    for key in ("a", "b", "c"):
        assert len({who(client_request_id=key) for _ in range(8)}) == 1
    assert {who("/served-models/champion"), who("/served-models/petals-1")} == {"champion", "petals-1"}
    assert "petals-1, champion" in who("/served-models/nobody")


def test_an_update_that_fails_leaves_the_configuration_before(sdk: WorkspaceClient, split: str) -> None:
    api = sdk.serving_endpoints
    before = api.get(split).config
    api.update_config(split, served_entities=[entity(1, model=BROKEN, name="broken")])
    during = api.get(split)
    assert during.state.config_update is EndpointStateConfigUpdate.IN_PROGRESS
    assert (during.config.config_version, during.pending_config.config_version) == (1, 2)
    with pytest.raises(ResourceConflict):
        api.update_config(split, served_entities=[entity(1)])
    with pytest.raises(Exception, match="UPDATE_FAILED"):
        api.wait_get_serving_endpoint_not_updating(split)
    after = api.get(split)
    assert (after.config, after.pending_config) == (before, None)
    assert after.state.ready.value == "READY"
    assert api.query(split, dataframe_records=records()).served_model_name in PREDICTED


def test_a_wrong_field_is_named_and_changes_nothing(sdk: WorkspaceClient, split: str) -> None:
    with pytest.raises(InvalidParameterValue, match=r"traffic_config\.routes: have 50 % in all"):
        sdk.serving_endpoints.update_config(
            split, served_entities=[entity(1)], traffic_config=TrafficConfig([Route(50, served_model_name="petals-1")])
        )
    with pytest.raises(NotFound, match=r"served_entities\[0\]\.entity_version: registered model 'petals' has no"):
        sdk.serving_endpoints.update_config(split, served_entities=[entity(9)])
    assert sdk.serving_endpoints.get(split).state.config_update is EndpointStateConfigUpdate.NOT_UPDATING


def test_a_rate_limit_lets_exactly_that_many_calls_through_all_web_workers(
    sdk: WorkspaceClient, server: TrackingServer
) -> None:
    api, minute = sdk.serving_endpoints, RateLimitRenewalPeriod.MINUTE
    limits = [RateLimit(25, minute, key=RateLimitKey.ENDPOINT), RateLimit(1000, minute, key=RateLimitKey.USER)]
    config = EndpointCoreConfigInput(name="limited", served_entities=[entity(1)])
    api.create_and_wait("limited", config=config, rate_limits=limits)
    url, body = f"{server.url}/serving-endpoints/limited/invocations", {"dataframe_records": records()}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: requests.post(url, json=body, timeout=HTTP_S), range(60)))
    assert Counter(answer.status_code for answer in answers) == {200: 25, 429: 35}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error_code"] == "REQUEST_LIMIT_EXCEEDED"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert not api.put("limited", rate_limits=[]).rate_limits
    eventually(lambda: requests.post(url, json=body, timeout=HTTP_S).status_code == 200)
    api.delete("limited")


def test_an_alias_is_followed(server: TrackingServer, split: str) -> None:
    url = f"{server.url}/serving-endpoints/{split}/served-models/champion/invocations"

    def version() -> str:
        answer = requests.post(url, json={"dataframe_records": records()}, timeout=HTTP_S)
        assert answer.status_code == 200, answer.text
        return answer.headers["X-MLflow-Model-Version"]

    assert version() == "2"
    server.client.set_registered_model_alias(MODEL, "champion", "1")
    eventually(lambda: version() == "1")
    server.client.set_registered_model_alias(MODEL, "champion", "2")
    eventually(lambda: version() == "2")


def test_mlflow_deployments_of_databricks(server: TrackingServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_HOST", server.url)
    monkeypatch.setenv("DATABRICKS_TOKEN", "of nobody")
    client = get_deploy_client("databricks")
    served = {"entity_name": MODEL, "entity_version": "1", "workload_size": "Small", "scale_to_zero_enabled": False}
    client.create_endpoint(config={"name": "deployed", "config": {"served_entities": [served]}})
    eventually(lambda: client.get_endpoint("deployed")["state"]["ready"] == "READY")
    assert client.predict(endpoint="deployed", inputs={"dataframe_records": records()})["predictions"] == [0]
    client.update_endpoint_config("deployed", {"served_entities": [{**served, "entity_version": "2"}]})
    eventually(lambda: client.get_endpoint("deployed")["config"]["config_version"] == 2)
    limit = {"key": "user", "calls": 1000, "renewal_period": "minute"}
    assert client.update_endpoint_rate_limits("deployed", {"rate_limits": [limit]})["rate_limits"] == [limit]
    assert client.update_endpoint_ai_gateway("deployed", {"rate_limits": []})["rate_limits"] == []
    assert client.update_endpoint_tags("deployed", {"add_tags": [{"key": "k", "value": "v"}]})["tags"]
    assert "deployed" in [found["name"] for found in client.list_endpoints()]
    client.delete_endpoint("deployed")
    assert "deployed" not in [found["name"] for found in client.list_endpoints()]


def test_mlflow_deployments_at_an_address(server: TrackingServer, split: str) -> None:
    client = get_deploy_client(server.url)
    assert split in [found.name for found in client.list_endpoints()]
    assert client.get_endpoint(split).model.name == MODEL
    assert client.predict(endpoint=split, inputs={"dataframe_records": records()})["predictions"] in ([0], [10])


def test_an_endpoint_under_updates_answers_every_request(sdk: WorkspaceClient, server: TrackingServer) -> None:
    api, config = sdk.serving_endpoints, EndpointCoreConfigInput(name="busy", served_entities=[entity(1)])
    api.create_and_wait("busy", config=config)
    url, body = f"{server.url}/serving-endpoints/busy/invocations", {"dataframe_records": records()}
    statuses: Counter[int] = Counter()
    with requests.Session() as session:
        for version in (2, 1):
            api.update_config("busy", served_entities=[entity(version)])
            while True:
                found = api.get("busy")
                statuses[session.post(url, json=body, timeout=HTTP_S).status_code] += 1
                assert found.state.ready.value == "READY"
                if found.state.config_update is not EndpointStateConfigUpdate.IN_PROGRESS:
                    break
        statuses.update(session.post(url, json=body, timeout=HTTP_S).status_code for _ in range(50))
    api.delete("busy")
    assert statuses.keys() == {200}
