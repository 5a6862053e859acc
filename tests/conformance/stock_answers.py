"""What ``mlflow models serve`` answers to every input: as recorded, or asked of live servers.

A recording is one file a MLflow version, ``recorded/mlflow-<version>.json``: by model and name of the input, one line
each, so that a diff shows which answers changed. ``pytest tests/conformance --record`` writes the file anew for the
MLflow that is installed, and needs the libraries of ``.[flavors]``. Of an error only status and code are kept; its
words are compared with nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

from conformance_inputs import PARQUET, Input
from support.models import Models
from support.server import StockServer

_RECORDED = Path(__file__).parent / "recorded"
_DECISIVE = ("mlflow", "numpy", "pandas")
"""The packages that decide what a stock server answers."""


@dataclass(frozen=True)
class Answer:
    """Status, and the body of a success or the ``error_code`` of an error (empty where the error is no JSON)."""

    status: int
    body: str = ""
    error_code: str = ""

    @classmethod
    def of(cls, status: int, body: bytes) -> Answer:
        """The part of a reply that is compared."""
        if status == 200:
            return cls(status, body=body.decode())
        try:
            return cls(status, error_code=str(json.loads(body)["error_code"]))
        except (ValueError, KeyError, TypeError):
            return cls(status)


class StockAnswers(Protocol):
    """Where the answers come from."""

    def answer(self, item: Input) -> Answer:
        """What the stock server answers to an input."""
        ...


class LiveAnswers:
    """Answers of real servers, one a model, each started when first asked. ``close()`` ends them."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._servers: dict[str, StockServer] = {}

    def answer(self, item: Input) -> Answer:
        if item.model not in self._servers:
            self._servers[item.model] = StockServer(self._models.path(item.model))
            self._servers[item.model].wait_ready()
        return Answer.of(*self._servers[item.model].score(item.body, item.content_type))

    def close(self) -> None:
        while self._servers:
            self._servers.popitem()[1].close()


@dataclass(frozen=True)
class Recording:
    """Recorded answers, and the versions of the packages that gave them."""

    versions: dict[str, str]
    answers: dict[str, dict[str, dict[str, str | int]]] = field(default_factory=dict)

    def answer(self, item: Input) -> Answer:
        """The recorded answer; an input that is new, or was sent with other bytes, fails the test."""
        entry = dict(self.answers.get(item.model, {}).get(item.name, {}))
        again = "run `pytest tests/conformance --record`"
        assert entry, f"no answer to {item} is recorded: {again}"
        assert entry.pop("sent") == sent(item), f"{item} has changed since it was recorded: {again}"
        return Answer(**entry)


def installed() -> dict[str, str]:
    """The versions here of the packages that decide the answers."""
    return {package: version(package) for package in _DECISIVE}


def load() -> Recording | None:
    """The recording for what is installed: the same MLflow, and NumPy and pandas of the same minor version."""
    path = _path()
    if not path.exists():
        return None
    recording = Recording(**json.loads(path.read_text()))
    same = all(_minor(recording.versions[package]) == _minor(here) for package, here in installed().items())
    return recording if same else None


def write(stock: StockAnswers, inputs: Iterable[Input]) -> None:
    """Record the answers to these inputs."""
    answers: dict[str, list[str]] = {}
    for item in inputs:
        kept = {key: value for key, value in vars(stock.answer(item)).items() if value != ""}
        entry = json.dumps({"sent": sent(item), **kept}, ensure_ascii=False)
        answers.setdefault(item.model, []).append(f"   {json.dumps(item.name, ensure_ascii=False)}: {entry}")
    models = [f'  "{model}": {{\n' + ",\n".join(lines) + "\n  }" for model, lines in answers.items()]
    head = f' "versions": {json.dumps(installed())},\n "answers": {{\n'
    _path().parent.mkdir(exist_ok=True)
    _path().write_text("{\n" + head + ",\n".join(models) + "\n }\n}\n")


def sent(item: Input) -> str:
    """A digest of the request. Parquet's bytes change with the writer's version and are not in it."""
    body = b"" if item.content_type == PARQUET else item.body
    return hashlib.sha256(f"{item.content_type}\n".encode() + body).hexdigest()[:8]


def _path() -> Path:
    return _RECORDED / f"mlflow-{version('mlflow')}.json"


def _minor(text: str) -> list[str]:
    return text.split(".")[:2]
