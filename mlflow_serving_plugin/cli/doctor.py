"""``mlflow-serving doctor``: what is wrong with a server and its machine, and what to do."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import click
from rich.text import Text

from mlflow_serving_plugin.cli.client import DEFAULT_TRACKING_URI, ServingClient
from mlflow_serving_plugin.cli.options import print_json
from mlflow_serving_plugin.cli.tables import make_console
from mlflow_serving_plugin.diagnosis.base import ERROR, OK, SKIPPED, STATUSES, WARNING, Finding, Place
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.settings import Settings, default_state_dir

_STYLES = {OK: "green", WARNING: "bold yellow", ERROR: "bold red", SKIPPED: "dim"}
HERE, SERVER = "this machine", "the server"


@click.command()
@click.option(
    "--tracking-uri",
    envvar="MLFLOW_TRACKING_URI",
    show_envvar=True,
    metavar="URL",
    help=f"URL of a running server to ask as well.  [default: {DEFAULT_TRACKING_URI} if something answers there]",
)
@click.option("--remote", is_flag=True, help="The server runs on another machine: leave this machine alone.")
@click.option(
    "--backend-store-uri",
    envvar="MLFLOW_BACKEND_STORE_URI",
    default="",
    metavar="URI",
    help="As given to mlflow server.",
)
@click.option(
    "--artifacts-destination",
    envvar="MLFLOW_ARTIFACTS_DESTINATION",
    default="",
    metavar="URI",
    help="As given to mlflow server.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="As given to mlflow server.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=5000, show_default=True, help="As given to mlflow server."
)
@click.option("--strict", is_flag=True, help="Exit with 1 for warnings too.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(
    *,
    tracking_uri: str | None,
    remote: bool,
    backend_store_uri: str,
    artifacts_destination: str,
    host: str,
    port: int,
    strict: bool,
    as_json: bool,
) -> None:
    """Look for what is wrong with this machine and with a server, and say what to do.

    Run it as the server's user, with the server's variables and options. The exit code is 0 when serving works, 1
    when a part does not work, 2 when the command is wrong.

    \b
    Before the first start:  mlflow-serving doctor --backend-store-uri postgresql+psycopg2://…
    A server elsewhere:      mlflow-serving doctor --remote --tracking-uri https://mlflow.example.org
    """
    # Here, because they import MLflow and SQLAlchemy: seconds that no other command is to take.
    from mlflow_serving_plugin.cli.doctor_server import diagnose_server

    found: list[tuple[str, Finding]] = []
    if not remote:
        from mlflow_serving_plugin.diagnosis.checks import diagnose

        place = _place(backend_store_uri, artifacts_destination, (host, port))
        found += [(HERE, finding) for finding in (diagnose(place) if isinstance(place, Place) else [place])]
    client = ServingClient(tracking_uri or DEFAULT_TRACKING_URI, os.environ)
    asked = diagnose_server(client, expected=remote or tracking_uri is not None)
    found += [(SERVER, finding) for finding in asked]
    if as_json:
        checks = [{"where": where} | finding._asdict() for where, finding in found]
        print_json({"status": _worst(found), "checks": checks})
    else:
        _print(found)
    sys.exit(1 if _worst(found) in ({ERROR, WARNING} if strict else {ERROR}) else 0)


def _place(backend_store_uri: str, artifacts_destination: str, address: tuple[str, int]) -> Place | Finding:
    try:
        settings = Settings.from_environ(os.environ)
    except ConfigurationError as error:
        return Finding("settings", "variables", ERROR, error.message, "mlflow-serving settings lists all settings.")
    from mlflow_serving_plugin.store.database import absolute_uri

    state_dir = Path(settings.state_dir) if settings.state_dir else None
    uri = absolute_uri(backend_store_uri) if backend_store_uri else ""
    if state_dir is None and uri:
        state_dir = default_state_dir(uri)
    return Place(settings, os.environ, uri, artifacts_destination, state_dir, address)


def _worst(found: Iterable[tuple[str, Finding]]) -> str:
    statuses = {finding.status for _, finding in found}
    return next((status for status in (ERROR, WARNING) if status in statuses), OK)


def _print(found: list[tuple[str, Finding]]) -> None:
    console = make_console()
    width = max(len(finding.check) for _, finding in found)
    for where, findings in groupby(found, key=lambda pair: pair[0]):
        console.print(Text(f"{where[0].upper()}{where[1:]}", style="bold"))
        for _, finding in findings:
            line = Text(f"  {finding.status:8}", style=_STYLES[finding.status])
            line.append(f" {finding.area:9} {finding.check:{width}}  {finding.found}", style="not dim default")
            console.print(line, soft_wrap=True)
            if finding.advice and finding.status != OK:
                console.print(Text(f"{'':21}→ {finding.advice}"), soft_wrap=True)
    counts = Counter(finding.status for _, finding in found)
    console.print("\n" + ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status]) + ".")
