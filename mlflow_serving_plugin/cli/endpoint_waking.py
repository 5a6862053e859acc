"""``endpoints prewarm``: wake the entities of a serving endpoint that sleep."""

from __future__ import annotations

import time
from typing import Any

import click

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.endpoint_config import endpoint_path
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.options import print_json, server_options

_POLL_S = 0.5
_NOT_AWAKE = ("Scaled to zero", "Scaling from zero")
"""How the messages of such entities begin, in Databricks' words."""


@click.command()
@click.argument("name")
@click.argument("entity", required=False)
@click.option("--wait", is_flag=True, help="Wait until the entities are awake.")
@server_options
def prewarm(name: str, entity: str | None, wait: bool, client: ServingClient, as_json: bool) -> None:
    """Wake the entities of NAME that sleep, or ENTITY alone, without a query.

    \b
    Example: mlflow-serving endpoints prewarm flowers new --wait
    """
    path = endpoint_path(name)
    fields = {} if entity is None else {"served_model_name": entity}
    client.call("POST", f"{path}/prewarm", fields)
    states = _states(client, path, entity)
    while wait and any(state["deployment_state_message"] in _NOT_AWAKE for state in states.values()):
        time.sleep(_POLL_S)
        client.call("POST", f"{path}/prewarm", fields)
        states = _states(client, path, entity)
    failed = {one: state for one, state in states.items() if state["deployment"] == "DEPLOYMENT_FAILED"}
    if as_json:
        print_json({"states": states})
    elif not failed:
        click.echo(f"'{name}' is {'awake' if wait else 'being woken'}.")
    if failed:
        reasons = "; ".join(f"{one}: {state['deployment_state_message']}" for one, state in failed.items())
        raise CliError(f"Not every entity can be woken. {reasons}")


def _states(client: ServingClient, path: str, entity: str | None) -> dict[str, dict[str, Any]]:
    """The states of the entities that answer, or of one entity, by name."""
    found = client.call("GET", path, {})
    config = found.get("config") or found.get("pending_config") or {}
    return {one["name"]: one["state"] for one in config.get("served_entities", []) if entity in (None, one["name"])}
