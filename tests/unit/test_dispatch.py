"""Which path goes where, under a prefix and in any script."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.api.app import PATHS
from mlflow_serving_plugin.dispatch import Mounts, WsgiDispatch
from mlflow_serving_plugin.gateway.addresses import PREFIXES


class Services:
    def ensure_started(self) -> None:
        pass

    def stop(self) -> None:
        pass


def dispatched(path: str, prefix: str = "") -> tuple[str, str | None]:
    """Who gets a request, and with which path where that is handed on."""
    seen: list[tuple[str, str | None]] = []

    def app(name):
        return lambda environ, start_response, path=None: seen.append((name, path)) or []

    mounts = Mounts(dict.fromkeys(PREFIXES, app("gateway")) | dict.fromkeys(PATHS, app("api")), prefix)
    dispatch = WsgiDispatch(app("mlflow"), mounts, Services())
    dispatch({"SCRIPT_NAME": "", "PATH_INFO": path.encode().decode("latin-1")}, None)
    return seen[0]


@pytest.mark.parametrize("name", ["iris", "café", "ünïcode ñ", "модель", "模型", "a.b c"])
@pytest.mark.parametrize("prefix", ["", "/mlflow"])
def test_the_gateway_gets_names_in_any_script_as_they_are(name: str, prefix: str) -> None:
    path = f"/model/{name}/1/invocations"
    assert dispatched(prefix + path, prefix) == ("gateway", path)


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/api/2.0/mlflow/endpoints/list", "api"),
        ("/api/2.0/mlflow/endpoints", "api"),
        ("/api/2.0/preview/mlflow/endpoints-v2/enable", "api"),
        ("/ajax-api/2.0/mlflow/endpoints/no/such/route", "api"),
        ("/api/2.0/token/create", "api"),
        ("/serving/health", "api"),
        ("/serving/metrics", "api"),
        ("/serving/healthy", "mlflow"),
        ("/metrics", "mlflow"),
        ("/api/2.0/mlflow/registered-models/search", "mlflow"),
        ("/api/2.0/mlflow/endpointsx", "mlflow"),
        ("/model-endpoint/iris/1/ping", "gateway"),
        ("/model", "mlflow"),
        ("/models", "mlflow"),
        ("/serving-endpoints/iris/invocations", "gateway"),
        ("/endpoints/iris/invocations", "gateway"),
        ("/api/2.0/serving-endpoints/", "api"),
        ("/.well-known/databricks-config", "api"),
        ("/", "mlflow"),
    ],
)
def test_each_path_has_one_owner(path: str, owner: str) -> None:
    assert dispatched(path)[0] == owner
    assert dispatched("/mlflow" + path, "/mlflow")[0] == owner


@pytest.mark.parametrize("path", ["/model/iris/1/ping", "/mlflowx/model/iris/1/ping", "/serving/health"])
def test_below_a_prefix_nothing_is_ours_without_it(path: str) -> None:
    assert dispatched(path, "/mlflow")[0] == "mlflow"


def test_no_two_mounted_paths_cover_each_other() -> None:
    mounted = [*PREFIXES, *PATHS]
    assert not [
        (one, other) for one in mounted for other in mounted if other.startswith(one.rstrip("/") + "/") and one != other
    ]
