"""The tables of serving endpoints that the commands print."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from mlflow_serving_plugin.cli.tables import make_console, make_table, print_table

_UPDATES = {"IN_PROGRESS": "being updated", "UPDATE_FAILED": "update failed", "UPDATE_CANCELED": "update canceled"}
_DEPLOYMENT = "DEPLOYMENT_"


def print_serving_endpoints(endpoints: list[dict[str, Any]]) -> None:
    """All serving endpoints, a line each."""
    if not endpoints:
        make_console().print("There are no serving endpoints. Create one with: mlflow-serving endpoints create NAME")
        return
    table = make_table("Endpoint", "State", "Entities")
    for endpoint in endpoints:
        table.add_row(Text(endpoint["name"]), Text(_state(endpoint)), Text(_entities(_present(endpoint))))
    print_table(table)


def print_serving_endpoint(endpoint: dict[str, Any], agreement: dict[str, Any] | None) -> None:
    """One serving endpoint: its state, its entities, and how the answers of its shadow agree."""
    console, message = make_console(), endpoint["state"].get("config_update_message")
    console.print(Text(f"{endpoint['name']}  {_state(endpoint)}" + (f"  {message}" if message else "")))
    table = make_table("Entity", "Model", "Version", "Traffic", "State", "Message")
    for config, pending in ((endpoint.get("config"), ""), (endpoint.get("pending_config"), " (next)")):
        shares = _shares(config)
        for entity in (config or {}).get("served_entities", []):
            state = entity["state"]
            cells = (
                f"{entity['name']}{pending}",
                entity["entity_name"],
                entity["entity_version"],
                f"{shares.get(entity['name'], 0)} %",
                state["deployment"].removeprefix(_DEPLOYMENT).lower(),
                state["deployment_state_message"],
            )
            table.add_row(*map(Text, cells))
    print_table(table)
    if agreement:
        console.print(Text(_agreement(agreement)))


def _agreement(found: dict[str, Any]) -> str:
    counts = (
        f"{found['equal']} equal, {found['within_tolerance']} within the tolerance, {found['differs']} differ, "
        f"{found['errors']} errors, {found['dropped']} dropped"
    )
    times = [
        f"{name} {_ms(latency['p50_ms'])} and {_ms(latency['p95_ms'])}" for name, latency in found["latency"].items()
    ]
    return (
        f"Shadow: {found['served_model_name']} scores {found['percentage']:g} % of the requests: {counts}.\n"
        f"Latency (50 % and 95 %): {', '.join(times)}."
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} ms"


def _present(endpoint: dict[str, Any]) -> dict[str, Any]:
    return endpoint.get("config") or endpoint.get("pending_config") or {}


def _state(endpoint: dict[str, Any]) -> str:
    state = endpoint["state"]
    ready = "ready" if state["ready"] == "READY" else "not ready"
    update = _UPDATES.get(state["config_update"])
    return f"{ready}, {update}" if update else ready


def _entities(config: dict[str, Any]) -> str:
    shares = _shares(config)
    return ", ".join(f"{entity['name']} {shares.get(entity['name'], 0)} %" for entity in config["served_entities"])


def _shares(config: dict[str, Any] | None) -> dict[str, int]:
    routes = ((config or {}).get("traffic_config") or {}).get("routes", [])
    return {route["served_model_name"]: route["traffic_percentage"] for route in routes}
