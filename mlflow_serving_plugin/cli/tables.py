"""The tables that the commands print."""

from __future__ import annotations

import time
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from mlflow_serving_plugin.cli.client import ServingClient

_PIPE_COLUMNS = 1000
_LONGEST_MESSAGE = 80
"""Of one endpoint in the list of all: ``status NAME`` has the whole message."""
_SHORTEST_CUT = 20
_NEVER = -1
_NEVER_FOLDED = frozenset(
    {"Variable", "Time", "State", "Version", "Token", "Created", "Expires", "Last used", "Memory", "Last request"}
)
_STYLES = {"ready": "green", "failed": "bold red", "degraded": "bold yellow", "busy": "yellow", "idle": "dim"}
"""By the tone of a state."""


def make_console() -> Console:
    """Standard output. In a pipe the console is wide enough for any table, so that no line is wrapped."""
    console = Console()
    return console if console.is_terminal else Console(width=_PIPE_COLUMNS)


def print_endpoints(endpoints: list[dict[str, Any]]) -> None:
    """All endpoints."""
    if not endpoints:
        make_console().print("Serving is not enabled on any model. Enable it with: mlflow-serving enable NAME")
        return
    table = make_table("Model", "State", "Memory", "Last request", "Message", cut="Message")
    for endpoint in endpoints:
        message = _shortened(f"{endpoint['state_message']} {endpoint['latest_message']}".strip())
        table.add_row(Text(endpoint["registered_model_name"]), _state(endpoint), *_use(endpoint), Text(message))
    print_table(table)


def print_drift(found: dict[str, Any]) -> None:
    """A version's columns beside those of its input example; a share of the example is in brackets."""
    has_example = found["baseline"] is not None
    beside = "the model's input example" if has_example else "nothing: the model has no input example that is a table"
    make_console().print(f"{found['rows']} rows, beside {beside}.")
    table = make_table("Column", "Type", "Nulls", "Range", "PSI")
    for column in found["columns"]:
        nulls, span = f"{column['null_share']:.1%}", _span(column, "")
        if has_example and column["baseline_null_share"] is not None:
            nulls += f" ({column['baseline_null_share']:.1%})"
            span += f" ({_span(column, 'baseline_')})" if span else ""
        psi = column["psi"]
        style = "" if psi is None or psi < 0.1 else "yellow" if psi < 0.25 else "bold red"
        table.add_row(
            *map(Text, (column["name"], column["type"], nulls, span)), Text("" if psi is None else f"{psi:.2f}", style)
        )
    print_table(table)


def _span(column: dict[str, Any], of: str) -> str:
    low, high = column[f"{of}minimum"], column[f"{of}maximum"]
    return "" if low is None else f"{low:g} to {high:g}"


def print_status(client: ServingClient, whole: dict[str, Any]) -> None:
    """One endpoint: its state, then its versions with their stages, aliases and URLs."""
    console, status, versions = make_console(), whole["endpoint_status"], whole["endpoint_versions"]
    name = status["registered_model_name"]
    line = Text.assemble(name, "  ", _state(status))
    for message in (status["state_message"], status["latest_message"], _next_try(status["reason"])):
        line.append(f"  {message}" if message else "")
    console.print(line)
    if not versions:
        return
    table = make_table("Version", "State", "Also", "Memory", "Last request", "Message")
    for version in versions:
        number = version["endpoint_version_name"]
        also = [found["alias"] for found in whole["aliases"] if found["endpoint_version_name"] == number]
        also += ["latest"] if number == status["latest"] else []
        message = Text(version["state_message"])
        table.add_row(Text(number), _state(version), Text(", ".join(also)), *_use(version), message)
    print_table(table)
    for version in versions:
        console.print(Text(client.scoring_url(name, version["endpoint_version_name"])), soft_wrap=True)
        if version.get("placement"):
            console.print(Text(f"  {version['placement']}", style="dim"), soft_wrap=True)
        if version.get("libraries"):
            console.print(_libraries(version["libraries"]), soft_wrap=True)


def _libraries(libraries: list[dict[str, Any]]) -> Text:
    """What a model was logged with and, where that is another version, what it runs with."""
    line = Text("  logged with ", style="dim")
    for number, library in enumerate(libraries):
        line.append(", " if number else "").append(f"{library['name']} {library['logged']}")
        if library["differs"]:
            line.append(f" (runs with {library['running']})", style="yellow")
    return line


def print_events(events: Iterable[dict[str, Any]]) -> None:
    """Events, one a row, in the given order, with local times; with hosts where there are several."""
    events = list(events)
    several = len({host for event in events for host in event.get("hosts", ())}) > 1
    table = make_table("Time", "Version", "Event", *(["Hosts"] if several else []), "Message")
    for event in events:
        number = Text(event["endpoint_version_name"] or "-")
        hosts = [Text(", ".join(event.get("hosts", ())) or "-")] if several else []
        table.add_row(_moment(event["timestamp"]), number, Text(event["event_type"]), *hosts, Text(event["message"]))
    print_table(table)


def print_tokens(tokens: list[dict[str, Any]]) -> None:
    """Tokens, one a row, without their values: the server keeps only hashes."""
    if not tokens:
        make_console().print("There are no tokens. Create a token with: mlflow-serving token create")
        return
    table = make_table("Token", "User", "Model", "Created", "Expires", "Last used", "Comment")
    for token in tokens:
        scope = token["scope"]
        expires, used = token["expiry_time"], token["last_used_time"]
        table.add_row(
            token["token_id"],
            Text(token["created_by_username"]),
            Text(scope["registered_model_name"] if scope else "all"),
            _moment(token["creation_time"]),
            "never" if expires == _NEVER else _moment(expires),
            "never" if used is None else _moment(used),
            Text(token["comment"]),
        )
    print_table(table)


def _moment(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000).astimezone():%Y-%m-%d %H:%M:%S}"


def _state(found: dict[str, Any]) -> Text:
    return Text(found["label"], style=_STYLES.get(found["tone"], ""))


def _use(found: dict[str, Any]) -> tuple[str, str]:
    """The memory of the workers, and when somebody last asked."""
    memory, last = found["memory_bytes"], found["last_request"]
    size = f"{memory / 1e9:.1f} GB" if memory >= 1e9 else f"{memory / 1e6:.0f} MB" if memory else "-"
    return size, "-" if last is None else _moment(last)


def _next_try(reason: dict[str, Any] | None) -> str:
    if reason is None or reason["retry_at"] is None:
        return ""
    left_s = reason["retry_at"] / 1000 - time.time()
    return f"Next try in {left_s:.0f} s." if left_s > 0 else "Trying again now."


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else f"{text[: _LONGEST_MESSAGE - 1]}…"


def make_table(*columns: str, cut: str = "") -> Table:
    """A table without lines between its cells. ``cut``: the column that is cut to the terminal, others are folded."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        one_line = column in _NEVER_FOLDED or column == cut
        table.add_column(column, no_wrap=one_line, overflow="ellipsis" if column == cut else "fold")
    return table


def _cut_to(width: int, table: Table) -> None:
    """Give the column that is cut what the others leave: rich alone would squeeze the names of models to nothing."""
    for cut in (column for column in table.columns if column.overflow == "ellipsis"):
        others = [column for column in table.columns if column is not cut]
        needed = sum(2 + max(cell_len(str(cell)) for cell in (column.header, *column.cells)) for column in others)
        cut.max_width = max(_SHORTEST_CUT, width - needed)


def print_table(table: Table) -> None:
    """Print a table on standard output; in a pipe no line ends with blanks."""
    console = make_console()
    if console.is_terminal:
        _cut_to(console.width, table)
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))
