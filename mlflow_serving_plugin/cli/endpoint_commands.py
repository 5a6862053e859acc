"""``endpoints``: serving endpoints with entities of their own, a traffic split and a shadow."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TextIO, TypeVar

import click

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.endpoint_config import endpoint_path, kept_shadow, read_config, read_endpoint, routes_of
from mlflow_serving_plugin.cli.endpoint_tables import print_serving_endpoint, print_serving_endpoints
from mlflow_serving_plugin.cli.endpoint_waking import prewarm
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.options import print_json, server_options

F = TypeVar("F", bound=Callable[..., Any])

_BASE = "/api/2.0/serving-endpoints"
_POLL_S = 0.5

_name = click.argument("name")
_wait = click.option("--wait", is_flag=True, help="Wait until the endpoint answers by this configuration.")


def _configured(command: F) -> F:
    """Add the options that make a configuration."""
    for option in (
        _wait,
        click.option(
            "--file", type=click.File(encoding="utf-8"), help="The configuration as JSON, in place of --entity."
        ),
        click.option(
            "--traffic",
            "shares",
            multiple=True,
            metavar="NAME=PERCENT",
            help="Percentage of an entity; repeatable, 100 in all. One entity has 100 without this option.",
        ),
        click.option(
            "--entity",
            "entities",
            multiple=True,
            metavar="[NAME=]MODEL/VERSION",
            help="An entity: a registered model and its version, or MODEL@ALIAS; repeatable.",
        ),
    ):
        command = option(command)
    return command


@click.group()
def endpoints() -> None:
    """Create, change and list serving endpoints.

    A serving endpoint serves entities, each a version of some registered model, and splits its traffic among them.
    """


endpoints.add_command(prewarm)


@endpoints.command("list")
@server_options
def list_all(client: ServingClient, as_json: bool) -> None:
    """List the serving endpoints that you may query."""
    found = [_described(client, endpoint["name"]) for endpoint in client.call("GET", _BASE, {})["endpoints"]]
    if as_json:
        print_json({"endpoints": found})
    else:
        print_serving_endpoints(found)


@endpoints.command()
@_name
@server_options
def get(name: str, client: ServingClient, as_json: bool) -> None:
    """Show the serving endpoint NAME: its entities, its traffic, and how its shadow agrees."""
    found = _described(client, name)
    shadow = (found.get("config") or {}).get("shadow")
    agreement = client.call("GET", f"{endpoint_path(name)}/shadow", {}) if shadow else None
    if as_json:
        print_json({**found, "shadow": agreement} if agreement else found)
    else:
        print_serving_endpoint(found, agreement)


@endpoints.command()
@_name
@_configured
@server_options
def create(
    name: str,
    entities: tuple[str, ...],
    shares: tuple[str, ...],
    file: TextIO | None,
    wait: bool,
    client: ServingClient,
    as_json: bool,
) -> None:
    """Create the serving endpoint NAME.

    \b
    Example: mlflow-serving endpoints create flowers --entity old=iris/3 --entity new=iris@champion \\
                 --traffic old=90 --traffic new=10 --wait
    """
    answer = client.call("POST", _BASE, {"name": name, **read_endpoint(entities, shares, file)})
    _tell(client, answer, f"Serving endpoint '{name}' is created.", as_json=as_json, wait=wait)


@endpoints.command()
@_name
@_configured
@server_options
def update(
    name: str,
    entities: tuple[str, ...],
    shares: tuple[str, ...],
    file: TextIO | None,
    wait: bool,
    client: ServingClient,
    as_json: bool,
) -> None:
    """Replace what NAME serves. The present configuration answers until the new one is ready.

    A shadow stays where its entity does, and ends when its entity gets all the traffic.

    \b
    Example: mlflow-serving endpoints update flowers --entity iris/4 --wait
    """
    config = read_config(entities, shares, file)
    before = (_described(client, name).get("config") or {}).get("shadow")
    if not file:
        config["shadow"] = kept_shadow(before, config)
    answer = client.call("PUT", f"{endpoint_path(name)}/config", config)
    _tell_end(before, config, as_json=as_json)
    _tell(client, answer, f"The update of '{name}' has begun.", as_json=as_json, wait=wait)


@endpoints.command()
@_name
@click.argument("shares", nargs=-1, required=True, metavar="ENTITY=PERCENT...")
@_wait
@server_options
def traffic(name: str, shares: tuple[str, ...], wait: bool, client: ServingClient, as_json: bool) -> None:
    """Change the traffic split of NAME and nothing else. Entities that are not named get 0.

    A shadow ends when its entity gets all the traffic.

    \b
    Example: mlflow-serving endpoints traffic flowers old=50 new=50
    """
    before = _configured_now(client, name)
    config = before | {"traffic_config": {"routes": routes_of(shares)}}
    config["shadow"] = kept_shadow(before["shadow"], config)
    answer = client.call("PUT", f"{endpoint_path(name)}/config", config)
    _tell_end(before["shadow"], config, as_json=as_json)
    _tell(client, answer, f"The traffic of '{name}' changes.", as_json=as_json, wait=wait)


@endpoints.command()
@_name
@click.argument("entity", required=False)
@click.option("--percentage", type=click.FloatRange(0, 100), default=100.0, show_default=True, help="Of the requests.")
@click.option("--tolerance", type=click.FloatRange(min=0), help="By how much numbers may differ.  [default: 0.000001]")
@click.option("--off", is_flag=True, help="End the shadow.")
@_wait
@server_options
def shadow(
    name: str,
    entity: str | None,
    percentage: float,
    tolerance: float | None,
    off: bool,
    wait: bool,
    client: ServingClient,
    as_json: bool,
) -> None:
    """Have ENTITY score requests to NAME once more, after their answers; or end that.

    \b
    Example: mlflow-serving endpoints shadow flowers new --percentage 20
             mlflow-serving endpoints shadow flowers --off
    """
    if off == (entity is not None):
        raise click.UsageError("Give either the name of an entity or --off.")
    wanted = None if off else {"served_model_name": entity, "percentage": percentage}
    if wanted is not None and tolerance is not None:
        wanted["tolerance"] = tolerance
    config = _configured_now(client, name) | {"shadow": wanted}
    answer = client.call("PUT", f"{endpoint_path(name)}/config", config)
    what = "ends" if off else f"becomes '{entity}'"
    _tell(client, answer, f"The shadow of '{name}' {what}.", as_json=as_json, wait=wait)


@endpoints.command()
@_name
@server_options
def cancel(name: str, client: ServingClient, as_json: bool) -> None:
    """End the update of NAME that is under way. The present configuration answers on."""
    answer = client.call("POST", f"{endpoint_path(name)}/cancel-update", {})
    _tell(client, answer, f"The update of '{name}' is canceled.", as_json=as_json, wait=False)


@endpoints.command()
@_name
@server_options
def delete(name: str, client: ServingClient, as_json: bool) -> None:
    """Delete the serving endpoint NAME."""
    answer = client.call("DELETE", endpoint_path(name), {})
    _tell(client, answer, f"Serving endpoint '{name}' is deleted.", as_json=as_json, wait=False)


def _described(client: ServingClient, name: str) -> dict[str, Any]:
    return client.call("GET", endpoint_path(name), {})


def _configured_now(client: ServingClient, name: str) -> dict[str, Any]:
    """The present configuration, to be sent back with changes."""
    config = _described(client, name).get("config")
    if config is None:
        raise CliError(f"Serving endpoint '{name}' has no configuration that is ready yet.")
    return {key: config.get(key) for key in ("served_entities", "traffic_config", "shadow")}


def _tell_end(before: dict[str, Any] | None, config: dict[str, Any], *, as_json: bool) -> None:
    if before and not config.get("shadow") and not as_json:
        click.echo(f"The shadow '{before['served_model_name']}' ends with this update.")


def _tell(client: ServingClient, answer: dict[str, Any], sentence: str, *, as_json: bool, wait: bool) -> None:
    while wait and answer["state"]["config_update"] == "IN_PROGRESS":
        time.sleep(_POLL_S)
        answer = _described(client, answer["name"])
    failed = wait and answer["state"]["config_update"] in ("UPDATE_FAILED", "UPDATE_CANCELED")
    if as_json:
        print_json(answer)
    elif not failed:
        click.echo(f"Serving endpoint '{answer['name']}' answers by the new configuration." if wait else sentence)
    if failed:
        raise CliError(f"The update has failed. {answer['state'].get('config_update_message', '')}".rstrip())
