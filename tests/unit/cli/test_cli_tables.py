"""Tables for people fit the terminal; tables in a pipe are whole."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from mlflow_serving_plugin.cli import tables
from mlflow_serving_plugin.cli.client import ServingClient

REASON = "RuntimeError: the licence file is missing, " * 20
ENDPOINT = {
    "registered_model_name": "iris",
    "label": "Failed",
    "tone": "failed",
    "state_message": REASON,
    "latest_message": "",
    "memory_bytes": 61_500_000,
    "last_request": None,
}


@pytest.mark.parametrize("width", [80, 120])
def test_the_list_of_endpoints_is_a_line_for_each_and_no_wider_than_the_terminal(monkeypatch, width):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=width, color_system=None)
    monkeypatch.setattr(tables, "make_console", lambda: console)
    tables.print_endpoints([ENDPOINT, {**ENDPOINT, "registered_model_name": "titanic"}])
    lines = out.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == ["Model", "iris", "titanic"]
    assert max(map(len, lines)) <= width
    assert "the licence file" in lines[1]


def test_a_long_name_of_a_model_is_folded_and_its_state_is_not(monkeypatch):
    out, name = io.StringIO(), "customer-churn-" * 8
    console = Console(file=out, force_terminal=True, width=80, color_system=None)
    monkeypatch.setattr(tables, "make_console", lambda: console)
    tables.print_endpoints([{**ENDPOINT, "registered_model_name": name}])
    first, *_ = lines = out.getvalue().splitlines()[1:]
    assert max(map(len, lines)) <= 80
    assert "Failed" in first
    assert "".join(line.split("  ")[0].split()[0] for line in lines) == name


def test_a_version_is_shown_with_all_that_names_it_its_memory_and_its_last_request(monkeypatch):
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=200, color_system=None)
    monkeypatch.setattr(tables, "make_console", lambda: console)
    version = {"endpoint_version_name": "2", "label": "Ready", "tone": "ready", "state_message": ""}
    whole = {
        "endpoint_status": ENDPOINT | {"latest": "2", "reason": None},
        "endpoint_versions": [
            version | {"memory_bytes": 1_500_000_000, "last_request": 0},
            version | {"endpoint_version_name": "1", "memory_bytes": 0, "last_request": None},
        ],
        "aliases": [{"alias": "champion", "endpoint_version_name": "2"}],
    }
    tables.print_status(ServingClient("http://127.0.0.1", {}), whole)
    newer, older = (line.split() for line in out.getvalue().splitlines() if line[:1].isdigit())
    assert newer[:6] == ["2", "Ready", "champion,", "latest", "1.5", "GB"]
    assert older == ["1", "Ready", "-", "-"]
