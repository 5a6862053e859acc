"""``mlflow-serving settings``: each setting of the server, with its value in this environment."""

from __future__ import annotations

import os
import re
from dataclasses import fields
from typing import Any

import click
from rich.text import Text

from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.options import print_json
from mlflow_serving_plugin.cli.tables import make_table, print_table
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.settings import PREFIX, Settings

_PASSWORD = re.compile(r"(://[^:/@]*:)[^/]*@")


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def settings(as_json: bool) -> None:
    """Show the settings of the server, as set in this environment.

    \b
    Example: MLFLOW_SERVING_HOLD_TIMEOUT_S=5 mlflow-serving settings
    """
    try:
        current = Settings.from_environ(os.environ)
    except ConfigurationError as error:
        raise CliError(error.message) from None
    rows = [
        {
            "variable": PREFIX + item.name.upper(),
            "value": _shown(getattr(current, item.name)),
            "default": item.default,
            "help": item.metadata["help"],
        }
        for item in fields(Settings)
    ]
    if as_json:
        print_json({"settings": rows})
        return
    table = make_table("Variable", "Value", "Default", "Meaning")
    for row in rows:
        style = "" if row["value"] == row["default"] else "bold"
        table.add_row(
            Text(row["variable"]), Text(_cell(row["value"]), style), Text(_cell(row["default"])), Text(row["help"])
        )
    print_table(table)


def _cell(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value) or "-"


def _shown(value: Any) -> Any:
    """The value without a password: a database URI may hold one."""
    return _PASSWORD.sub(r"\1***@", value) if isinstance(value, str) else value
