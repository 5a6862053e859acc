"""How the inputs of requests differ from the model's input example: nulls, ranges, population stability. Pure.

Population stability index (PSI): the sum over bins of (share - expected share) * ln(share / expected share). An index
of few rows is noise, so that there is no index where the example has less than ten rows for each of two bins.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from mlflow_serving_plugin.request_log.inputs import Columns
from mlflow_serving_plugin.request_log.redact import REDACTED

MOST_COLUMNS = 500
_MOST_BINS, _ROWS_IN_A_BIN = 10, 10
_MOST_VALUES, _LONGEST_LABEL = 1000, 60
"""Of text: with more different values a column is free text, and has no bins."""

_OTHERS = "others"
Bins = tuple[list[str], list[int], list[int]]
"""Labels, and how many rows of the requests and of the example are in each."""


def drift_of(rows: Columns, example: Columns | None) -> list[dict[str, Any]]:
    """A line for each column of the requests or of the example, in the example's order; at most ``MOST_COLUMNS``.

    A column whose values are left out of the log is left out here.
    """
    height = len(next(iter(rows.values()), []))
    names = list(dict.fromkeys([*(example or {}), *rows]))[:MOST_COLUMNS]
    lines = [_line(name, rows.get(name) or [None] * height, (example or {}).get(name)) for name in names]
    return [line for line in lines if line is not None]


def _line(name: str, values: list[Any], expected: list[Any] | None) -> dict[str, Any] | None:
    present, before = _present(values), _present(expected or [])
    if REDACTED in present:
        return None
    kind = _kind(before or present)
    if kind == "number":
        present, before = _finite(present), _finite(before)
    bins = _numeric(present, before) if kind == "number" else _by_value(present, before) if kind != "other" else None
    labels, counts, expected_counts = bins or ([], [], [])
    return {
        "name": name,
        "type": kind,
        "null_share": _null_share(values),
        "baseline_null_share": None if expected is None else _null_share(expected),
        "minimum": min(present, default=None) if kind == "number" else None,
        "maximum": max(present, default=None) if kind == "number" else None,
        "baseline_minimum": min(before, default=None) if kind == "number" else None,
        "baseline_maximum": max(before, default=None) if kind == "number" else None,
        "psi": _psi(counts, expected_counts),
        "bins": labels,
        "shares": [_share(count, sum(counts)) for count in counts],
        "baseline_shares": [_share(count, sum(expected_counts)) for count in expected_counts] if before else None,
    }


def _present(values: Sequence[Any]) -> list[Any]:
    return [value for value in values if value is not None and value == value]  # noqa: PLR0124 - NaN is not itself


def _null_share(values: list[Any]) -> float:
    return _share(len(values) - len(_present(values)), len(values))


def _kind(values: list[Any]) -> str:
    kinds = Counter(map(_kind_of, values))
    return kinds.most_common(1)[0][0] if kinds else "other"


def _kind_of(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else "text" if isinstance(value, str) else "other"


def _finite(values: list[Any]) -> list[float]:
    return [value for value in values if _kind_of(value) == "number" and math.isfinite(value)]


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _numeric(present: list[float], before: list[float]) -> Bins | None:
    """Bins with as many rows of the example each; where the example is short, bins of one width."""
    number = min(_MOST_BINS, len(before) // _ROWS_IN_A_BIN)
    if number >= 2 and len(set(before)) == 1:
        # No edge tells a constant from larger numbers.
        same = sum(value == before[0] for value in present)
        return [f"{before[0]:.4g}", _OTHERS], [same, len(present) - same], [len(before), 0]
    if number >= 2:
        ordered = sorted(before)
        edges = sorted({ordered[len(ordered) * index // number] for index in range(1, number)})
    else:
        low, high = min([*present, *before], default=0.0), max([*present, *before], default=0.0)
        width = high / _MOST_BINS - low / _MOST_BINS
        edges = sorted({low + width * index for index in range(1, _MOST_BINS)}) if low < high else []
    if not present and not before:
        return None
    shown = [f"{edge:.4g}" for edge in edges]
    if not edges:
        labels = [f"{(present or before)[0]:.4g}"]
    else:
        between = [f"{low} to {high}" for low, high in pairwise(shown)]
        labels = [f"< {shown[0]}", *between, f"≥ {shown[-1]}"]

    def counts(values: list[float]) -> list[int]:
        found = Counter(bisect_right(edges, value) for value in values)
        return [found[index] for index in range(len(edges) + 1)]

    return labels, counts(present), counts(before)


def _by_value(present: list[Any], before: list[Any]) -> Bins | None:
    """A bin for each of the most frequent values, and one for all others."""
    found, expected = Counter(map(_text, present)), Counter(map(_text, before))
    if len(found) > _MOST_VALUES or not (found or expected):
        return None
    number = min(_MOST_BINS, len(before) // _ROWS_IN_A_BIN)
    frequent = [value for value, _ in (expected or found).most_common((number if number >= 2 else _MOST_BINS) - 1)]
    kept = set(frequent)

    def counts(of: Counter[str]) -> list[int]:
        return [*(of[value] for value in frequent), sum(count for value, count in of.items() if value not in kept)]

    return [*(value[:_LONGEST_LABEL] for value in frequent), _OTHERS], counts(found), counts(expected)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _psi(counts: list[int], expected: list[int]) -> float | None:
    """None where the example or the requests are too few to tell. Half a row in each bin: no share is 0."""
    used = [(one, other) for one, other in zip(counts, expected, strict=True) if one or other]
    if sum(expected) < 2 * _ROWS_IN_A_BIN or sum(counts) < 2 * _ROWS_IN_A_BIN:
        return None
    whole, before = sum(counts) + len(used) / 2, sum(expected) + len(used) / 2
    shares = [((one + 0.5) / whole, (other + 0.5) / before) for one, other in used]
    return round(sum((share - was) * math.log(share / was) for share, was in shares), 4)
