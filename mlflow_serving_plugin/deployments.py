"""``mlflow.deployments`` at ``serving://HOST:PORT``: serving endpoints of a server that runs the serving app.

``serving-https://HOST`` is the same over TLS. Credentials are those of MLflow's own client. A deployment is an endpoint
with one entity; endpoints may have several.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, INVALID_PARAMETER_VALUE, ErrorCode

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.endpoint_config import endpoint_path, version_of
from mlflow_serving_plugin.cli.errors import CliError

_BASE = "/api/2.0/serving-endpoints"
_OF_ENDPOINT = ("tags", "rate_limits", "description")
"""What an endpoint is created with beside its configuration."""

_READY_S = 1200.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.25, 5.0
_PREDICT_S = 300.0


class ServingDeploymentClient(BaseDeploymentClient):  # type: ignore[misc]
    """Creates, updates, lists, queries and deletes serving endpoints. MlflowException for what the server refuses.

    Creating and updating wait until the new configuration answers, for at most 20 minutes.
    """

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        scheme, _, address = target_uri.partition("://")
        with _as_mlflow():
            if not address:
                raise CliError("The target needs the server's address: serving://HOST:PORT.")
            secure = scheme.endswith("https")
            self._client = ServingClient(f"{'https' if secure else 'http'}://{address}", os.environ)

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: dict[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Serve ``models:/<name>/<version>`` or ``models:/<name>@<alias>`` as a serving endpoint of this name.

        ``config``: fields of the served entity, such as ``workload_size``. ``flavor`` and ``endpoint`` mean nothing.
        """
        made = self.create_endpoint(name, {"served_entities": [_entity(model_uri, config)]})
        return {**made, "flavor": flavor or "python_function"}

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: dict[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Serve another model version. The version before answers until the new one is ready."""
        if model_uri is None:
            raise MlflowException.invalid_parameter_value("Give the URI of a model version: models:/<name>/<version>.")
        updated = self.update_endpoint(name, {"served_entities": [_entity(model_uri, config)]})
        return {**updated, "flavor": flavor or "python_function"}

    def delete_deployment(self, name: str, config: dict[str, Any] | None = None, endpoint: str | None = None) -> None:
        """Delete the endpoint."""
        self.delete_endpoint(name)

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """The endpoints that the caller may query."""
        return self.list_endpoints()

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """One endpoint."""
        return self.get_endpoint(name)

    def create_endpoint(self, name: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
        """Create an endpoint; ``config`` as of Databricks' ``serving-endpoints``, with ``tags`` and ``rate_limits``."""
        given = _values(config)
        of_endpoint = {key: given.pop(key) for key in _OF_ENDPOINT if key in given}
        self._call("POST", _BASE, {"name": name, "config": given, **of_endpoint})
        return self._settled(name)

    def update_endpoint(self, endpoint: str, config: dict[str, Any] | None = None) -> dict[str, Any]:
        """Replace the configuration. The configuration before answers until the new one is ready."""
        self._of(endpoint, "PUT", "/config", _values(config))
        return self._settled(endpoint)

    def delete_endpoint(self, endpoint: str) -> None:
        """Delete an endpoint."""
        self._of(endpoint, "DELETE")

    def list_endpoints(self) -> list[dict[str, Any]]:
        """The endpoints that the caller may query."""
        return list(self._call("GET", _BASE, {})["endpoints"])

    def get_endpoint(self, endpoint: str) -> dict[str, Any]:
        """One endpoint."""
        return self._of(endpoint, "GET")

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """The answer to a data frame, an array, a list or a body in one of MLflow's formats."""
        with _as_mlflow():
            path = endpoint_path(_name(deployment_name, endpoint), "/serving-endpoints") + "/invocations"
            answer = self._client.call("POST", path, _body(inputs), timeout_s=_PREDICT_S)
        return PredictionsResponse(answer)

    def predict_stream(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> Iterator[Any]:
        """The events of the answer, one by one, of a model that streams."""
        with _as_mlflow():
            path = endpoint_path(_name(deployment_name, endpoint), "/serving-endpoints") + "/invocations"
            yield from self._client.stream(path, {**_body(inputs), "stream": True}, timeout_s=_PREDICT_S)

    def _call(self, method: str, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        with _as_mlflow():
            return self._client.call(method, path, fields)

    def _of(self, name: str, method: str, path: str = "", fields: dict[str, Any] | None = None) -> dict[str, Any]:
        with _as_mlflow():
            return self._client.call(method, endpoint_path(_name(name, None)) + path, fields or {})

    def _settled(self, name: str) -> dict[str, Any]:
        """The endpoint once no update is under way; MlflowException with the reason when the update has failed."""
        ends, pause_s = time.monotonic() + _READY_S, _FIRST_PAUSE_S
        while (found := self.get_endpoint(name))["state"]["config_update"] == "IN_PROGRESS":
            if time.monotonic() > ends:
                raise MlflowException(f"Serving endpoint '{name}' was not ready within {_READY_S:.0f} s.")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        if found["state"]["config_update"] in ("UPDATE_FAILED", "UPDATE_CANCELED"):
            reason = found["state"].get("config_update_message", "")
            raise MlflowException(f"Serving endpoint '{name}' could not be updated. {reason}".rstrip())
        return found


def run_local(name: str, model_uri: str, flavor: str | None = None, config: dict[str, Any] | None = None) -> None:
    """Refused: a server on one's own machine does the same."""
    raise MlflowException(
        "This target has no run-local. Start a server on your machine with 'mlflow-serving quickstart', or with "
        "'mlflow server --app-name serving', and create the deployment there."
    )


def target_help() -> str:
    """What ``mlflow deployments help -t serving`` prints."""
    return (
        "serving://HOST:PORT: serving endpoints of an MLflow server that runs the serving app "
        "(serving-https://HOST over TLS).\n\n"
        "    mlflow deployments create -t serving://localhost:5000 --name flowers -m models:/iris/3\n"
        "    mlflow deployments update -t serving://localhost:5000 --name flowers -m models:/iris@champion\n\n"
        "-C sets fields of the served entity, such as -C workload_size=Medium, -C scale_to_zero_enabled=true or\n"
        "-C config='{\"memory_limit_mb\": 500}'. create-endpoint and update-endpoint take fields of a whole\n"
        "configuration, with JSON as values: -C served_entities='[…]' -C traffic_config='{…}'.\n"
        "Credentials: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
    )


@contextmanager
def _as_mlflow() -> Iterator[None]:
    try:
        yield
    except CliError as error:
        known = error.code in ErrorCode.keys()  # noqa: SIM118 - protobuf's enum is no mapping
        raise MlflowException(error.message, ErrorCode.Value(error.code) if known else INTERNAL_ERROR) from None


def _name(deployment_name: str | None, endpoint: str | None) -> str:
    name = endpoint if deployment_name is None else deployment_name
    if name is None:
        raise MlflowException("Give the name of the endpoint.", error_code=INVALID_PARAMETER_VALUE)
    return name


def _entity(model_uri: str, config: Mapping[str, Any] | None) -> dict[str, Any]:
    found = version_of(model_uri) if model_uri.startswith("models:/") else None
    if found is None:
        raise MlflowException.invalid_parameter_value(
            f"'{model_uri}' names no registered version. Use models:/<name>/<version> or models:/<name>@<alias>."
        )
    return {"entity_name": found[0], "entity_version": found[1], **_values(config)}


def _values(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """The configuration with values that the command line gives as text: JSON, true and false."""
    return {key: _value(value) for key, value in (config or {}).items()}


def _value(value: Any) -> Any:
    if isinstance(value, str) and (value[:1] in ("{", "[") or value in ("true", "false")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _body(inputs: Any) -> dict[str, Any]:
    if isinstance(inputs, dict):
        return {key: _plain(value) for key, value in inputs.items()}
    if hasattr(inputs, "iloc"):
        frame = inputs.to_frame() if inputs.ndim == 1 else inputs
        split = json.loads(frame.to_json(orient="split", date_format="iso", double_precision=15))
        return {"dataframe_split": {"columns": split["columns"], "data": split["data"]}}
    return {"inputs": _plain(inputs)}


def _plain(value: Any) -> Any:
    """The value with lists and numbers of Python in place of NumPy's, wherever they stand."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, (list, tuple)) else value
