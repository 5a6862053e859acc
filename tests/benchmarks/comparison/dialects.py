"""The request and response bodies that the servers understand. One row costs about the same bytes in each."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from comparison.samples import Sample


@dataclass(frozen=True)
class Split:
    """MLflow's ``dataframe_split``."""

    name: str = "dataframe_split"

    def encode(self, sample: Sample, rows: list[list[float]]) -> bytes:
        """The request body."""
        return _dumps({"dataframe_split": {"columns": sample.columns, "data": rows}})

    def decode(self, body: bytes) -> list[Any]:
        """The predictions: a list, or in an object as newer MLflows have it."""
        answer = json.loads(body)
        return answer["predictions"] if isinstance(answer, dict) else answer


@dataclass(frozen=True)
class OpenInference:
    """The Open Inference Protocol ("V2"), one input per column, as MLServer wants it for a column signature."""

    name: str = "V2, an input per column"

    def encode(self, sample: Sample, rows: list[list[float]]) -> bytes:
        """The request body."""
        columns = zip(sample.columns, zip(*rows, strict=True), strict=True)
        inputs = [
            {"name": name, "shape": [len(rows), 1], "datatype": "FP64", "data": values} for name, values in columns
        ]
        return _dumps({"parameters": {"content_type": "pd"}, "inputs": inputs})

    def decode(self, body: bytes) -> list[Any]:
        """The data of the only output."""
        return json.loads(body)["outputs"][0]["data"]


@dataclass(frozen=True)
class Rows:
    """BentoML's: the argument of the service's method by name."""

    name: str = "rows"

    def encode(self, sample: Sample, rows: list[list[float]]) -> bytes:
        """The request body."""
        return _dumps({"rows": rows})

    def decode(self, body: bytes) -> list[Any]:
        """The predictions."""
        return json.loads(body)


Dialect = Split | OpenInference | Rows


def _dumps(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
