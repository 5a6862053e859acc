"""Options that the commands share: the tracking server, JSON output and ``--config``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from mlflow_serving_plugin.cli.client import DEFAULT_TRACKING_URI, ServingClient
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA

F = TypeVar("F", bound=Callable[..., Any])


def server_options(command: F) -> F:
    """Add ``--tracking-uri`` (as ``client``, with the credentials of this environment) and ``--json`` (``as_json``)."""
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    return click.option(
        "--tracking-uri",
        "client",
        callback=lambda _context, _option, uri: ServingClient(uri, os.environ),
        envvar="MLFLOW_TRACKING_URI",
        default=DEFAULT_TRACKING_URI,
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="URL of the tracking server.",
    )(command)


class ConfiguringCommand(click.Command):
    """A command that takes ``--config``: its help lists the keys."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Each key of an endpoint's configuration, with its values and default."""
        with formatter.section("Keys of --config"):
            formatter.write_dl([(name, _about(rule)) for name, rule in CONFIG_SCHEMA["properties"].items()])


def _about(rule: dict[str, Any]) -> str:
    values = " One of " + ", ".join(rule["enum"]) + "." if "enum" in rule else ""
    default = "" if rule["default"] in (None, {}) else f"  [default: {rule['default']}]"
    return f"{rule['description']}{values}{default}"


def complete_name(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """The served models whose names begin so, for completion in a shell; none when the server cannot be asked."""
    try:
        client = ServingClient(os.environ.get("MLFLOW_TRACKING_URI", DEFAULT_TRACKING_URI), os.environ)
        names = [endpoint["registered_model_name"] for endpoint in client.endpoints()]
    except click.ClickException:
        return []
    return [name for name in names if name.startswith(incomplete)]


def print_json(value: Any) -> None:
    """One JSON document on standard output."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def parse_config(pairs: tuple[str, ...]) -> dict[str, Any]:
    """``("replicas=2", "environment.A=1")`` → ``{"replicas": 2, "environment": {"A": "1"}}``.

    ``request_log.enabled=true`` sets one key of ``request_log``. A value is JSON if it is valid JSON, else a string.
    The value of an environment variable is always a string.
    """
    config: dict[str, Any] = {}
    for pair in pairs:
        key, separator, value = pair.partition("=")
        if not separator or not key:
            raise click.UsageError(f"--config takes key=value, not '{pair}'.")
        family, dot, variable = key.partition(".")
        if dot and family == "request_log" and variable:
            config.setdefault("request_log", {})
            if not isinstance(config["request_log"], dict):
                raise click.UsageError("--config request_log takes a JSON object.")
            config["request_log"][variable] = _parsed(value)
            continue
        if dot and family == "environment" and variable:
            if not isinstance(config.setdefault("environment", {}), dict):
                raise click.UsageError("--config environment takes a JSON object.")
            config["environment"][variable] = value
        else:
            config[key] = _parsed(value)
    return config


def _parsed(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value
