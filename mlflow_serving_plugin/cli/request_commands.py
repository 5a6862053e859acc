"""``requests tail``, ``requests show`` and ``requests export``: what was asked and answered."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from functools import wraps
from itertools import islice
from typing import Any, TypeVar

import click

from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.commands import newest_version
from mlflow_serving_plugin.cli.endpoint_config import endpoint_path
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.options import complete_name, print_json, server_options
from mlflow_serving_plugin.cli.tables import print_drift

F = TypeVar("F", bound=Callable[..., Any])

_FOLLOW_EVERY_S = 5.0
_NOT_SERVED = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")
_OFF = "No requests are logged. To log them: mlflow-serving enable NAME --config request_log.enabled=true"

_NONE = "No such request is in the log. A request is in the log within a minute."


@click.group("requests")
def requests() -> None:
    """Show the log of requests and answers, which the endpoint's configuration key request_log turns on.

    You need MANAGE on the model. A request is in the log within a minute.
    """


def _of_endpoint(command: F) -> F:
    """Add NAME, ``--serving-endpoint`` and, where there are filters, these: as ``fields`` of the control API."""

    @wraps(command)
    def with_fields(name: str, serving_endpoint: bool, version: str | None = None, **options: Any) -> Any:
        filters = {key: options.pop(key) for key in ("status", "min_ms") if key in options}
        if serving_endpoint or _is_serving_endpoint(options["client"], name):
            fields = {"serving_endpoint_name": name, "served_entity_name": version}
        else:
            fields = {"registered_model_name": name, "endpoint_version_name": version}
        return command(fields=fields | filters, **options)

    made = click.option(
        "--serving-endpoint", is_flag=True, help="NAME is a serving endpoint, also where a model has that name."
    )(with_fields)
    return click.argument("name", shell_complete=complete_name)(made)  # type: ignore[return-value]


def _is_serving_endpoint(client: ServingClient, name: str) -> bool:
    """Whether a serving endpoint has this name, and no model that is served."""
    try:
        client.status(name)
    except CliError as error:
        if error.code not in _NOT_SERVED:
            return False
        with suppress(CliError, click.UsageError):
            return bool(client.call("GET", endpoint_path(name), {}))
    return False


def _filters(command: F) -> F:
    for option in (
        click.option("--status", metavar="S", help="A status such as 200, or a class such as 4xx."),
        click.option("--version", metavar="V", help="One version only, or one entity of a serving endpoint."),
        click.option("--min-ms", type=click.IntRange(min=0), metavar="MS", help="Slower requests only."),
    ):
        command = option(command)
    return command


@requests.command()
@_of_endpoint
@_filters
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="Maximum number of requests.")
@click.option("--follow", "-f", is_flag=True, help="Print new requests until Ctrl-C.")
@server_options
def tail(fields: dict[str, Any], limit: int, follow: bool, client: ServingClient, as_json: bool) -> None:
    """Show the last requests of NAME, the newest at the end.

    \b
    Example: mlflow-serving requests tail iris --status 5xx
    """
    found = list(islice(client.logged(fields), limit))
    if as_json:
        print_json({"requests": found})
    elif not found and not follow:
        click.echo(_NONE if client.logs_requests(fields) else _OFF, err=True)
    else:
        _print(reversed(found))
    if follow:
        try:
            for one in follow_requests(client, fields, found):
                click.echo(json.dumps(one, ensure_ascii=False)) if as_json else _print([one])
        except KeyboardInterrupt:
            return


@requests.command()
@_of_endpoint
@click.argument("request_id")
@server_options
def show(fields: dict[str, Any], request_id: str, client: ServingClient, as_json: bool) -> None:
    """Show one request of NAME with both bodies, by the request's id (the header X-Request-Id).

    \b
    Example: mlflow-serving requests show iris 5f0c…
    """
    found = client.request(fields | {"request_id": request_id})
    if as_json:
        print_json(found)
        return
    _print([found])
    for part in ("request", "response"):
        codes = ", ".join(found["logging_error_codes"]) or "left out"
        click.echo(f"\n{part}:\n{codes if found[part] is None else found[part]}")


@requests.command()
@_of_endpoint
@click.option("--version", metavar="V", help="The version, or the entity of a serving endpoint.  [default: the newest]")
@click.option("--hours", type=click.FloatRange(min=0.001), default=24.0, show_default=True, help="How far back.")
@server_options
def drift(fields: dict[str, Any], hours: float, client: ServingClient, as_json: bool) -> None:
    """Show how the logged requests of NAME differ from the model's input example, column by column.

    PSI, the population stability index: below 0.1 little differs, above 0.25 much. There is an index only where the
    example and the requests have at least 20 rows.

    \b
    Example: mlflow-serving requests drift iris --version 2 --hours 1
    """
    if not any(fields.get(key) for key in ("endpoint_version_name", "served_entity_name")):
        if "serving_endpoint_name" in fields:
            raise click.UsageError("--serving-endpoint needs --version, the name of an entity.")
        fields["endpoint_version_name"] = newest_version(client, fields["registered_model_name"])
    now_ms = int(time.time() * 1000)
    found = client.drift(fields | {"from": now_ms - int(hours * 3_600_000), "to": now_ms})
    if as_json:
        print_json(found)
    elif not found["rows"]:
        click.echo("No table has been logged in that time." if found["enabled"] else _OFF, err=True)
    else:
        print_drift(found)


@requests.command()
@_of_endpoint
@_filters
@click.option("--output", "-o", type=click.File("w"), default="-", help="A file.  [default: standard output]")
@click.option(
    "--limit", type=click.IntRange(min=1), default=1000, show_default=True, help="Maximum number of requests."
)
@server_options
def export(fields: dict[str, Any], output: Any, limit: int, client: ServingClient, as_json: bool) -> None:
    """Write the last requests of NAME with both bodies: a line of JSON each, the newest first.

    The files of the log themselves are for more than thousands of requests.

    \b
    Example: mlflow-serving requests export iris --limit 100 -o iris.jsonl
    """
    endpoint: dict[str, Any] = {
        key: fields[key] for key in ("serving_endpoint_name", "registered_model_name") if key in fields
    }
    number = 0
    for one in islice(client.logged(fields), limit):
        one_of_these = {"request_id": one["request_id"], "request_time": one["request_time"]}
        whole = client.request(endpoint | one_of_these)
        output.write(json.dumps(whole, ensure_ascii=False) + "\n")
        number += 1
    if not number and not as_json and not client.logs_requests(endpoint):
        click.echo(_OFF, err=True)
        return
    # To standard error: standard output may have the lines.
    click.echo(json.dumps({"requests": number}) if as_json else f"{number} requests were written.", err=True)


def follow_requests(
    client: ServingClient,
    fields: dict[str, Any],
    known: list[dict[str, Any]],
    pause: Callable[[], None] = lambda: time.sleep(_FOLLOW_EVERY_S),
) -> Iterator[dict[str, Any]]:
    """New requests as they come to the log, which may be a minute after one another; never ends."""
    seen = {one["request_id"]: one["request_time"] for one in known}
    begin = max(seen.values(), default=int(time.time() * 1000)) - 120_000
    while True:
        found = [one for one in client.logged(fields | {"from": begin}) if one["request_id"] not in seen]
        yield from reversed(found)
        seen.update({one["request_id"]: one["request_time"] for one in found})
        begin = max(seen.values(), default=begin + 120_000) - 120_000
        seen = {request_id: at for request_id, at in seen.items() if at >= begin}
        pause()


def _print(found: Any) -> None:
    for one in found:
        at = datetime.fromtimestamp(one["request_time"] / 1000).isoformat(" ", "milliseconds")
        version, took = one["endpoint_version_name"], f"{one['execution_duration_ms']} ms"
        click.echo(
            f"{at}  {one['status_code']}  {took:>9}  {version:>8}  {one['request_id']}  {one['requester'] or ''}"
        )
