"""``mlflow-serving doctor``: what this machine gives the server, and what to do for more."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.text import Text

from mlflow_serving_plugin.backends.isolation import layers, levels
from mlflow_serving_plugin.backends.sandbox import without_bubblewrap
from mlflow_serving_plugin.cli.options import print_json
from mlflow_serving_plugin.cli.tables import make_table, print_table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Show which layers of the sandbox work on this machine, for this user.

    \b
    Run it on the server, as the server's user: mlflow-serving doctor
    """
    found = layers(levels(), bubblewrap=without_bubblewrap())
    if as_json:
        print_json({"sandbox": [asdict(layer) for layer in found]})
        return
    table = make_table("Layer of the sandbox", "Here", "What to do for more")
    for layer in found:
        table.add_row(Text(layer.name), Text(layer.holds), Text(layer.advice or "-"))
    print_table(table)
