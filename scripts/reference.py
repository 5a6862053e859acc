"""Reference pages below ``docs/reference/``, from the code: settings, configuration keys, metrics and command line.

``python scripts/reference.py`` fails when a page differs from the code, ``--write`` writes the pages.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from mlflow_serving_plugin.cli.main import main
from mlflow_serving_plugin.domain.config import WORKER, EndpointConfig
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.metrics.exposition import HostCollector
from mlflow_serving_plugin.metrics.families import FAMILIES
from mlflow_serving_plugin.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parent.parent
PAGES = ROOT / "docs" / "reference"
_NOTE = "<!-- Written from the code by `scripts/docs --write`. Change the code, not this page. -->"
_UNITS = {"_s": "seconds", "_days": "days", "_bytes": "bytes"}
_SIZES = ((1024**3, "GiB"), (1024**2, "MiB"))


def pages() -> dict[str, str]:
    """Each reference page by its file name."""
    return {
        "settings.md": _page("Settings of the server", _settings()),
        "configuration.md": _page("Configuration keys of an endpoint", _configuration()),
        "metrics.md": _page("Metrics", _metrics()),
        "cli.md": _page("Command line", _command_line()),
    }


def _page(title: str, lines: Iterable[str]) -> str:
    return "\n".join([f"# {title}", "", _NOTE, "", *lines]).rstrip("\n") + "\n"


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("<", "&lt;") for cell in cells) + " |"


def _settings() -> Iterator[str]:
    yield "The server reads these variables when it starts."
    yield "`mlflow-serving settings` prints the values of your environment."
    yield ""
    yield _row("Variable", "Default", "Unit", "Meaning")
    yield "|---|---|---|---|"
    for item in fields(Settings):
        unit = next((unit for end, unit in _UNITS.items() if item.name.endswith(end)), "")
        at_least = item.metadata["at_least"]
        limit = "" if at_least is None or isinstance(item.default, bool) else f" At least {at_least}."
        default = _default(item.name, item.default)
        yield _row(f"`{PREFIX}{item.name.upper()}`", default, unit, item.metadata["help"] + limit)


def _default(name: str, value: Any) -> str:
    if name == "max_concurrent_starts":
        return "number of CPUs"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if name.endswith("_bytes"):
        size, unit = next(((size, unit) for size, unit in _SIZES if value and value % size == 0), (1, "bytes"))
        return f"`{value}` ({value // size} {unit})"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`" if value else ""


def _configuration() -> Iterator[str]:
    yield "Set a key with `mlflow-serving enable NAME --config KEY=VALUE`, in the Serving tab's form, or with"
    yield "`update-compute-config` of the control API."
    yield "A variable of the worker's environment is `environment.VARIABLE=VALUE`."
    yield "Changing some keys replaces the workers, without a failed request."
    yield ""
    yield _row("Key", "Default", "Values", "Meaning", "A change replaces workers")
    yield "|---|---|---|---|---|"
    by_name = {item.name: item for item in fields(EndpointConfig)}
    for name, schema in CONFIG_SCHEMA["properties"].items():
        default = "" if schema["default"] in (None, {}, "") else f"`{schema['default']}`"
        replaces = "yes" if WORKER in by_name[name].metadata["for_"] else "no"
        yield _row(f"`{name}`", default, _values(schema), schema["description"], replaces)


def _values(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if schema["type"] == "object":
        return f"texts by name, at most {schema['maxProperties']}"
    if schema["type"] == "string":
        return f"text, at most {schema['maxLength']} characters"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    kind = "whole number" if schema["type"] == "integer" else "number"
    return f"{kind}, {'above ' if 'exclusiveMinimum' in schema else ''}{low} to {schema['maximum']}"


def _metrics() -> Iterator[str]:
    yield "`GET /serving/metrics` has these for Prometheus: the sum of all processes of the host."
    yield "On a server with workspaces, each metric that has `model` also has `workspace`."
    yield ""
    yield _row("Metric", "Type", "Labels", "Meaning")
    yield "|---|---|---|---|"
    shown = {metric.name: metric for metric in HostCollector({}, Routes(), workspaces=False).collect()}
    by_name = {"mlflow_serving_" + family.name: family for family in FAMILIES.values()}
    for name, metric in shown.items():
        family = by_name.get(name)
        labels = metric._labelnames if family is None else family.labels
        suffix = "_total" if metric.type == "counter" else ""
        yield _row(f"`{name}{suffix}`", metric.type, _list(labels), metric.documentation)
    yield ""
    yield "Upper bounds of the histograms' buckets:"
    yield ""
    for name, family in by_name.items():
        if family.bounds:
            yield f"- `{name}`: {', '.join(f'{bound:g}' for bound in family.bounds)}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _command_line() -> Iterator[str]:
    with click.Context(main, info_name="mlflow-serving") as context:
        yield from _command(main, context)


def _command(command: click.Command, context: click.Context) -> Iterator[str]:
    if context.parent is not None:
        yield f"## {context.command_path}"
        yield ""
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    yield from ("```", usage, "```", "")
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        yield from _paragraph(paragraph)
    options = [option for option in command.get_params(context) if isinstance(option, click.Option)]
    yield from (_row("Option", "Meaning"), "|---|---|")
    yield from (_row(*_option(option, context)) for option in options)
    yield ""
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            with click.Context(child, info_name=name, parent=context) as inner:
                yield from _command(child, inner)


def _paragraph(text: str) -> Iterator[str]:
    """``\\b`` begins what click does not wrap: examples to type."""
    lines = text.strip("\b\n").splitlines()
    if text.startswith("\b"):
        yield from ("```", *(line.removeprefix("Example: ").rstrip() for line in lines), "```", "")
    elif lines:
        yield from (" ".join(line.strip() for line in lines), "")


def _option(option: click.Option, context: click.Context) -> tuple[str, str]:
    record = option.get_help_record(context)
    if record is None:
        return f"`{', '.join(option.opts)}`", "hidden"
    return f"`{record[0]}`", " ".join(record[1].split())


def differing() -> list[str]:
    """The names of the pages that are not what the code says."""
    return [name for name, text in pages().items() if _read(PAGES / name) != text]


def _read(path: Path) -> str | None:
    return path.read_text() if path.exists() else None


def run(arguments: list[str]) -> int:
    """The exit code."""
    if arguments == ["--write"]:
        PAGES.mkdir(exist_ok=True)
        for name, text in pages().items():
            (PAGES / name).write_text(text)
        return 0
    if wrong := differing():
        print(f"These pages differ from the code: {', '.join(wrong)}. Run: scripts/docs --write", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
