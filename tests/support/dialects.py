"""Every form in which the same rows can be sent to a served model, and how the reply to each is wrapped."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd


@dataclass(frozen=True)
class Dialect:
    """``bare``: the reply is the predictions themselves rather than ``{"predictions": …}``."""

    name: str
    content_type: str
    encode: Callable[[pd.DataFrame], bytes]
    bare: bool
    headers: dict[str, str] = field(default_factory=dict)


def _json(make: Callable[[pd.DataFrame], object]) -> Callable[[pd.DataFrame], bytes]:
    return lambda rows: json.dumps(make(rows)).encode()


def _records(rows: pd.DataFrame) -> list:
    return rows.to_dict(orient="records")


def _split(rows: pd.DataFrame) -> dict:
    return rows.to_dict(orient="split")


def _split_without_index(rows: pd.DataFrame) -> dict:
    return {key: value for key, value in _split(rows).items() if key != "index"}


def _csv(rows: pd.DataFrame) -> bytes:
    return rows.to_csv(index=False).encode()


def _parquet(rows: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    rows.to_parquet(buffer)
    return buffer.getvalue()


_JSON = "application/json"
_LEGACY = {"X-MLflow-Scoring-Dialect": "legacy"}

DIALECTS = [
    Dialect("dataframe_split", _JSON, _json(lambda rows: {"dataframe_split": _split(rows)}), False),
    Dialect("dataframe_records", _JSON, _json(lambda rows: {"dataframe_records": _records(rows)}), False),
    Dialect("instances", _JSON, _json(lambda rows: {"instances": _records(rows)}), False),
    Dialect("inputs", _JSON, _json(lambda rows: {"inputs": rows.to_dict(orient="list")}), False),
    Dialect("charset", f"{_JSON}; charset=utf-8", _json(lambda rows: {"inputs": _records(rows)}), False),
    Dialect("csv", "text/csv", _csv, False),
    Dialect("parquet", "application/vnd.apache.parquet", _parquet, False),
    Dialect("pandas-records", f"{_JSON}; format=pandas-records", _json(_records), True),
    Dialect("pandas-records, tight", f"{_JSON};format=pandas-records", _json(_records), True),
    Dialect("pandas-split", f"{_JSON} ; charset=utf-8;  format=pandas-split", _json(_split), True),
    Dialect("pandas-split, no index", f"{_JSON}; format=pandas-split", _json(_split_without_index), True),
    Dialect("list", _JSON, _json(_records), True),
    Dialect("split", _JSON, _json(_split), True),
    Dialect("numpy-split", "application/json-numpy-split", _json(_split), True),
    Dialect("legacy instances", _JSON, _json(lambda rows: {"instances": _records(rows)}), True, _LEGACY),
    Dialect("legacy inputs", _JSON, _json(lambda rows: {"inputs": rows.to_dict(orient="list")}), True, _LEGACY),
    Dialect("legacy csv", "text/csv", _csv, True, _LEGACY),
]


def expected_reply(dialect: Dialect, predictions: list) -> object:
    """The reply to rows with these predictions."""
    return predictions if dialect.bare else {"predictions": predictions}
