"""The configuration of a serving endpoint as the command line has it. Pure, but for reading the file."""

from __future__ import annotations

import json
import re
from typing import Any, TextIO

import click

from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.domain.serving import default_name

_BASE = "/api/2.0/serving-endpoints"
_NAME = re.compile(r"[A-Za-z0-9_-]+")


_MORE = ("ai_gateway", "rate_limits", "tags")
"""What a new endpoint may have beside its configuration."""


def endpoint_path(name: str, base: str = _BASE) -> str:
    """The path of a serving endpoint; CliError for what is no name, and would lead to another path."""
    if not _NAME.fullmatch(name):
        raise CliError(f"'{name}' is not the name of a serving endpoint: use letters, digits, dashes and underscores.")
    return f"{base}/{name}"


def read_config(entities: tuple[str, ...], shares: tuple[str, ...], file: TextIO | None) -> dict[str, Any]:
    """The configuration of ``--entity`` and ``--traffic``, or of ``--file``; click.UsageError."""
    config: dict[str, Any] = read_endpoint(entities, shares, file)["config"]
    return config


def read_endpoint(entities: tuple[str, ...], shares: tuple[str, ...], file: TextIO | None) -> dict[str, Any]:
    """What a new endpoint is made of but for its name: a file may have limits and tags too; click.UsageError."""
    if (file is not None) == bool(entities) or (file is not None and shares):
        raise click.UsageError("Give either --entity, as often as there are entities, or --file.")
    if file is None:
        config: dict[str, Any] = {"served_entities": [_entity(text) for text in entities]}
        return {"config": config | ({"traffic_config": {"routes": routes_of(shares)}} if shares else {})}
    try:
        found = json.load(file)
    except ValueError:
        found = None
    more = {key: found[key] for key in _MORE if key in found} if isinstance(found, dict) and "config" in found else {}
    found = found.get("config", found) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        raise click.BadParameter("The file must hold one JSON object, with served_entities.", param_hint="--file")
    return {**more, "config": found}


def kept_shadow(shadow: dict[str, Any] | None, config: dict[str, Any]) -> dict[str, Any] | None:
    """The present shadow for another configuration; None when its entity is gone there, or has all the traffic."""
    if shadow is None:
        return None
    entities = config["served_entities"]
    names = [one.get("name") or default_name(one["entity_name"], one["entity_version"]) for one in entities]
    # One entity has all the traffic, with and without saying so.
    routes = (config.get("traffic_config") or {}).get("routes") if len(names) > 1 else []
    others = [one for one in routes or [] if one["served_model_name"] != shadow["served_model_name"]]
    has_others = any(str(one["traffic_percentage"]) != "0" for one in others)
    return shadow if shadow["served_model_name"] in names and has_others else None


def version_of(reference: str) -> tuple[str, str] | None:
    """Model and version of ``MODEL/VERSION`` or ``MODEL@ALIAS``, also after ``models:/``; None for another text."""
    reference = re.sub("^models:/+", "", reference)
    # A name of a model has no "/", but may have "@".
    separator = "/" if "/" in reference else "@"
    model, _, version = reference.rpartition(separator)
    if not model or not version or "/" in model:
        return None
    return model, f"@{version}" if separator == "@" else version


def _entity(text: str) -> dict[str, str]:
    # A name of an entity has no "=", but a name of a model may.
    name, reference = text.split("=", 1) if "=" in text else ("", text)
    found = version_of(reference)
    if found is None:
        raise click.BadParameter(f"'{text}' is not of the form [NAME=]MODEL/VERSION or [NAME=]MODEL@ALIAS.")
    return {"entity_name": found[0], "entity_version": found[1]} | ({"name": name} if name else {})


def routes_of(shares: tuple[str, ...]) -> list[dict[str, str]]:
    """``("a=90", "b=10")`` as routes; click.BadParameter."""
    routes = []
    for text in shares:
        name, separator, percent = text.rpartition("=")
        if not separator:
            raise click.BadParameter(f"'{text}' is not of the form ENTITY=PERCENT.")
        routes.append({"served_model_name": name, "traffic_percentage": percent})
    return routes
