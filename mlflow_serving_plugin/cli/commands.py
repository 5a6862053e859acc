"""``enable``, ``disable``, ``prewarm``, ``status``, ``logs`` and ``events``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import click
from rich.console import Console

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.options import (
    ConfiguringCommand,
    complete_name,
    parse_config,
    print_json,
    server_options,
)
from mlflow_serving_plugin.cli.progress import Progress, wait_until_awake, wait_until_settled
from mlflow_serving_plugin.cli.tables import print_endpoints, print_events, print_status

_FOLLOW_EVERY_S = 1.0

_name = click.argument("name", shell_complete=complete_name)
_version_option = click.option("--version", type=click.IntRange(min=1), metavar="V", help="One version only.")


@click.command(cls=ConfiguringCommand)
@click.argument("name")
@click.option("--config", multiple=True, metavar="KEY=VALUE", help="A configuration key of the endpoint; repeatable.")
@click.option("--wait", is_flag=True, help="Wait until each version is ready or has failed.")
@server_options
def enable(name: str, config: tuple[str, ...], wait: bool, client: ServingClient, as_json: bool) -> None:
    """Serve all active versions of the registered model NAME.

    \b
    Example: mlflow-serving enable iris --wait --config request_timeout_s=10
    """
    settings = parse_config(config)
    client.enable(name, settings)
    if wait:
        with Progress(Console(stderr=as_json)) as progress:
            wait_until_settled(client, name, progress)
    if as_json:
        print_json(_whole_status(client, name))
    elif wait:
        print_status(client, _whole_status(client, name))
    else:
        click.echo(f"Serving is enabled on '{name}'. To see the state: mlflow-serving status {name}")


@click.command()
@_name
@server_options
def disable(name: str, client: ServingClient, as_json: bool) -> None:
    """Stop serving the registered model NAME.

    \b
    Example: mlflow-serving disable iris
    """
    client.disable(name)
    if as_json:
        print_json({})
    else:
        click.echo(f"Serving is disabled on '{name}'.")


@click.command()
@_name
@_version_option
@click.option("--wait", is_flag=True, help="Wait until each version is ready or has failed.")
@server_options
def prewarm(name: str, version: int | None, wait: bool, client: ServingClient, as_json: bool) -> None:
    """Wake NAME's versions that sleep, without a prediction.

    \b
    Example: mlflow-serving prewarm iris --version 2 --wait
    """
    if wait:
        with Progress(Console(stderr=as_json)) as progress:
            wait_until_awake(client, name, version, progress)
    else:
        client.prewarm(name, version)
    if as_json:
        print_json(_whole_status(client, name, version))
    elif wait:
        print_status(client, _whole_status(client, name, version))
    else:
        click.echo(f"'{name}' is being woken. To see the state: mlflow-serving status {name}")


@click.command()
@click.argument("name", required=False, shell_complete=complete_name)
@_version_option
@server_options
def status(name: str | None, version: int | None, client: ServingClient, as_json: bool) -> None:
    """Show the state of NAME's versions, or of all endpoints.

    \b
    Example: mlflow-serving status iris
    """
    if name is None:
        if version is not None:
            raise click.UsageError("--version needs NAME.")
        endpoints = client.endpoints()
        if as_json:
            print_json({"endpoints": endpoints})
        else:
            print_endpoints(endpoints)
    elif as_json:
        print_json(_whole_status(client, name, version))
    else:
        print_status(client, _whole_status(client, name, version))


@click.command()
@_name
@click.option("--version", type=click.IntRange(min=1), metavar="V", help="The version.  [default: the newest]")
@click.option("--build", is_flag=True, help="Print the build log of the version's environment instead.")
@click.option("--follow", "-f", is_flag=True, help="Print new lines until Ctrl-C.")
@server_options
def logs(name: str, version: int | None, build: bool, follow: bool, client: ServingClient, as_json: bool) -> None:
    """Print the whole log of one version of NAME; with --follow, its end and what is added.

    \b
    Example: mlflow-serving logs iris --version 2 --follow
    """
    if follow and (build or as_json):
        raise click.UsageError("--follow cannot be combined with --build or --json.")
    number = str(version) if version is not None else newest_version(client, name)
    if follow:
        try:
            for piece in follow_log(client, name, number):
                click.echo(piece, nl=False)
        except KeyboardInterrupt:
            return
    text = "".join(client.whole_log(name, number, build=build))
    if as_json:
        print_json({"endpoint_version_name": number, "logs": text})
        return
    click.echo(text, nl=not text.endswith("\n") and bool(text))
    if not text:
        other = "" if build else f" The build of its environment: mlflow-serving logs {name} --build"
        click.echo(f"Version {number} has no {'build log' if build else 'output'} yet.{other}", err=True)


@click.command()
@_name
@_version_option
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Maximum number of events.")
@server_options
def events(name: str, version: int | None, limit: int, client: ServingClient, as_json: bool) -> None:
    """Show the events of NAME, newest first.

    \b
    Example: mlflow-serving events iris --limit 10
    """
    found = list(islice(client.events(name, None if version is None else str(version)), limit))
    if as_json:
        print_json({"events": found})
    else:
        print_events(found)


def follow_log(
    client: ServingClient,
    name: str,
    version: str,
    pause: Callable[[], None] = lambda: time.sleep(_FOLLOW_EVERY_S),
) -> Iterator[str]:
    """Pieces of the log, as the log grows; never ends."""
    offset: int | None = None
    while True:
        text, offset = client.logs(name, version, offset)
        if text:
            yield text
        else:
            pause()


def newest_version(client: ServingClient, name: str) -> str:
    """The number of the newest served version; CliError."""
    versions = client.versions(name)
    if not versions:
        raise CliError(f"No version of '{name}' is served.")
    return str(versions[0]["endpoint_version_name"])


def _whole_status(client: ServingClient, name: str, version: int | None = None) -> dict[str, Any]:
    found = client.status(name)
    versions = client.versions(name)
    names = client.aliases(name)
    if version is not None:
        versions = [one for one in versions if one["endpoint_version_name"] == str(version)]
        names = [one for one in names if one["endpoint_version_name"] == str(version)]
        if not versions:
            raise CliError(f"Version {version} of '{name}' is not served.")
    return {"endpoint_status": found, "endpoint_versions": versions, "aliases": names}
