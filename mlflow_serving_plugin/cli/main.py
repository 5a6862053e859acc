"""The ``mlflow-serving`` command."""

from __future__ import annotations

import click

from mlflow_serving_plugin import __version__
from mlflow_serving_plugin.cli.commands import disable, enable, events, logs, prewarm, status
from mlflow_serving_plugin.cli.doctor import doctor
from mlflow_serving_plugin.cli.endpoint_commands import endpoints
from mlflow_serving_plugin.cli.grafana import grafana
from mlflow_serving_plugin.cli.quickstart import quickstart
from mlflow_serving_plugin.cli.request_commands import requests
from mlflow_serving_plugin.cli.settings_table import settings
from mlflow_serving_plugin.cli.token_commands import token


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="mlflow-serving")
def main() -> None:
    """Serve registered models from the MLflow tracking server.

    \b
    Try it:   mlflow-serving quickstart
    Then:     mlflow-serving enable iris --wait
    """


for _command in (
    *(quickstart, enable, disable, prewarm, status, logs, events),
    *(requests, endpoints, token, grafana, settings, doctor),
):
    main.add_command(_command)
