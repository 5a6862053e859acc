"""What is done to a serving endpoint beside changes: its entities are woken, its update is canceled."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mlflow_serving_plugin.access.base import User
from mlflow_serving_plugin.domain.serving import ServingSpec
from mlflow_serving_plugin.errors import ConflictError, NotFoundError
from mlflow_serving_plugin.host.messages import Changed, Wake
from mlflow_serving_plugin.operations.fields import Fields
from mlflow_serving_plugin.operations.serving import ServingOperations


def wake(serving: ServingOperations, caller: User, workspace: str, name: str, document: Mapping[str, Any]) -> None:
    """Wake the entities of an endpoint, or ``served_model_name`` alone. Who may query may wake, as a query does too.

    NotFoundError, InvalidParameterError naming the field.
    """
    fields = Fields(document).only(("served_model_name",))
    wanted = None if fields.get("served_model_name") is None else fields.text("served_model_name")
    found = serving.describe(caller, workspace, name)
    names = {entity.key_name: entity.name for config in found.configs for entity in config.entities}
    woken = [key_name for key_name, entity in names.items() if wanted in (None, entity)]
    if not woken:
        raise NotFoundError(f"Serving endpoint '{found.endpoint.name}' has no entity '{wanted}'.")
    for key_name in woken:
        serving.send(Wake(found.endpoint.id, key_name))


def cancel_update(serving: ServingOperations, caller: User, workspace: str, name: str) -> None:
    """End the update that is under way: the present configuration serves on. ConflictError without an update."""
    endpoint = serving.managed(caller, workspace, name)
    reason = f"The update was canceled{f' by {caller.name}' if caller.name else ''}."

    def cancel(spec: ServingSpec) -> ServingSpec:
        if spec.pending is None:
            raise ConflictError(f"Serving endpoint '{endpoint.name}' is not being updated.")
        return spec.cancel(reason, int(time.time() * 1000))

    message = f"The update of '{endpoint.name}' was canceled"
    serving.store.change(endpoint, cancel, "ENDPOINT_UPDATE_CANCELED", message, by=caller.name)
    for model in endpoint.spec.models if endpoint.spec else ():
        serving.send(Changed(workspace, model))
