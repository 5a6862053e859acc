"""The routes below ``/v2``: server and model metadata, health, ready, infer. Part of the core, no I/O of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mlflow_serving_plugin import __version__
from mlflow_serving_plugin.errors import UnavailableError
from mlflow_serving_plugin.gateway.addresses import Action, Target
from mlflow_serving_plugin.gateway.choice import Choice, choose
from mlflow_serving_plugin.gateway.dialects.content_type import JSON
from mlflow_serving_plugin.gateway.dialects.v2 import BINARY, LENGTH_HEADER, V2Answer, V2Model
from mlflow_serving_plugin.gateway.dialects.v2_signature import Declared, as_metadata, declared
from mlflow_serving_plugin.gateway.exchange import Exchange
from mlflow_serving_plugin.gateway.messages import Reply, RunBlocking, Steps
from mlflow_serving_plugin.gateway.scoring import Scoring
from mlflow_serving_plugin.host.mlmodel import read_mlmodel
from mlflow_serving_plugin.host.snapshot import SnapshotReader

_OF_SERVER: dict[Action, dict[str, Any]] = {
    Action.SERVER: {"name": "mlflow-serving-plugin", "version": __version__, "extensions": ["binary_tensor_data"]},
    Action.LIVE: {"live": True, "ready": True},
}

_MOST_KNOWN = 1024
_signatures: dict[str, tuple[list[Declared], list[Declared]]] = {}
"""Inputs and outputs by the model's directory, whose files never change."""


class OpenInference:
    """Answers requests of V2. ``admit`` lets the exchange's caller in to the model of the target, or raises."""

    def __init__(
        self, snapshot: SnapshotReader, scoring: Scoring, admit: Callable[[Exchange, Target], Steps[None]]
    ) -> None:
        self._snapshot = snapshot
        self._scoring = scoring
        self._admit = admit

    def answer(self, exchange: Exchange, target: Target) -> Steps[Reply]:
        """The reply to one request. Raises ServingError for every error of ours."""
        if target.action in _OF_SERVER:
            # As the server's own health route, for callers that have no credentials.
            return _json(_OF_SERVER[target.action])
        yield from self._admit(exchange, target)
        choice = exchange.choice = choose(self._snapshot.current(), exchange.workspace, target.reference)
        if target.action is Action.PING:
            return _ready(choice)
        model = yield from _model(choice)
        if target.action is Action.METADATA:
            return _json(_metadata(choice, model))
        reply = yield from self._scoring.score(exchange, target._replace(dialect=model))
        written = exchange.reply_format
        if reply.status != 200 or not isinstance(written, V2Answer) or written.json_length is None:
            return reply
        return reply._replace(headers=[("Content-Type", BINARY), (LENGTH_HEADER, str(written.json_length))])


def _json(document: dict[str, Any], status: int = 200) -> Reply:
    return Reply(status, [("Content-Type", JSON)], json.dumps(document).encode())


def _ready(choice: Choice) -> Reply:
    ready = bool(choice.workers) or choice.entity.state.facts.serves
    return _json({"name": choice.endpoint.name, "ready": ready}, 200 if ready else 503)


def _metadata(choice: Choice, model: V2Model) -> dict[str, Any]:
    return {
        "name": choice.endpoint.name,
        "versions": list(choice.endpoint.entities),
        "platform": "mlflow",
        "inputs": as_metadata(model.inputs),
        "outputs": as_metadata(model.outputs),
    }


def _model(choice: Choice) -> Steps[V2Model]:
    model_dir = choice.entity.model_dir
    if model_dir is None:
        raise UnavailableError(f"The files of version {choice.version} have not been fetched yet.")
    found = _signatures.get(model_dir)
    if found is None:
        if len(_signatures) >= _MOST_KNOWN:
            _signatures.clear()
        # A thread only where there is a file to read: the way there and back costs more than a small request.
        found = _signatures[model_dir] = yield RunBlocking(partial(_signature, model_dir))
    inputs, outputs = found
    return V2Model(choice.endpoint.name, choice.version, inputs, outputs, choice.endpoint.config.max_cells)


def _signature(model_dir: str) -> tuple[list[Declared], list[Declared]]:
    """Inputs and outputs by the model's signature; empty without one. Reads a file."""
    try:
        found = read_mlmodel(Path(model_dir)).signature
        return declared(found.get("inputs"), "input"), declared(found.get("outputs"), "output")
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        raise UnavailableError("The model's MLmodel file cannot be read.") from None
