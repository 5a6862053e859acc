"""``mlflow-serving grafana``: a dashboard for Grafana and alerting rules for Prometheus, which are in the package."""

from __future__ import annotations

from importlib.resources import files

import click

from mlflow_serving_plugin import metrics


@click.command()
@click.option("--alerts", is_flag=True, help="Print alerting rules for Prometheus instead.")
def grafana(alerts: bool) -> None:
    """Print a dashboard for Grafana, which shows the metrics of the server.

    \b
    Example: mlflow-serving grafana > dashboard.json
             mlflow-serving grafana --alerts > alerts.yml
    """
    name = "alerts.yml" if alerts else "dashboard.json"
    click.echo((files(metrics) / "grafana" / name).read_text(encoding="utf-8"), nl=False)
