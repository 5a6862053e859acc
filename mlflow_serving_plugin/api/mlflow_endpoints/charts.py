"""What entities of this host did over time, for charts: counts, durations and gauges, with marks for events."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import current_workspace, one_of, read_fields
from mlflow_serving_plugin.domain.entity import name_order
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.errors import InvalidParameterError
from mlflow_serving_plugin.metrics.history import Range
from mlflow_serving_plugin.metrics.history_file import COARSE_S, FINE_S, KEEP_FINE_S
from mlflow_serving_plugin.metrics.sample import Sample, quantile_ms, together

MOST_POINTS = 2000
_POINTS = 360
_STEPS_S = (10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200)
_HOUR_MS = 3600 * 1000
_MARK_PAGES, _MOST_MARKS = 5, 500
_NO_MARKS = (
    *("VERSION_PENDING", "VERSION_BUILDING", "VERSION_LAUNCHING", "VERSION_DRAINING", "VERSION_WAKING"),
    *("VERSION_ENVIRONMENT", "VERSION_BATCHING", "VERSION_PLACED", "VERSION_ASLEEP"),
)
"""Events on the way to others that are marks."""

_KINDS: dict[str, Callable[[int], bool]] = {
    "4xx": lambda status: 400 <= status < 500 and status not in (429, 499),
    "429": lambda status: status == 429,
    "499": lambda status: status == 499,
    "5xx": lambda status: status >= 500 and status not in (502, 503, 504),
    "502": lambda status: status == 502,
    "503": lambda status: status == 503,
    "504": lambda status: status == 504,
}
"""Each error is of one kind, so that kinds can be stacked."""


def get_history(context: Context) -> dict[str, Any]:
    """What a model's versions, or a serving endpoint's entities, did from ``from`` to ``to`` in steps.

    ``requests``, ``errors`` and ``cpu_seconds`` are of the step, ``batch_rows`` is the mean of its calls; of in hand,
    replicas and memory the step's highest. null where nothing was measured, and for quantiles without requests.
    """
    fields = read_fields(requests.HISTORY)
    steps = _range(fields, int(time.time() * 1000))
    endpoint_id, named, events = _subject(context, fields)
    found = context.deps.history.read(endpoint_id, steps)
    wanted = fields.get("endpoint_version_name") or fields.get("served_entity_name")
    by_name: dict[str, list[list[Sample | None]]] = {}
    for entity, samples in found.samples.items():
        name = named(entity)
        if wanted is None or str(wanted) == name:
            by_name.setdefault(name, []).append(samples)
    label = "endpoint_version_name" if "registered_model_name" in fields else "served_entity_name"
    return {
        "from": steps.begin * 1000,
        "to": steps.end * 1000,
        "step_ms": steps.step * 1000,
        "times": [at * 1000 for at in steps.times],
        "series": [
            {label: name, **_series([_step(parts) for parts in zip(*by_name[name], strict=True)])}
            for name in sorted(by_name, key=name_order)
        ],
        "marks": _marks(events, steps, named),
        "hosts": [socket.gethostname()],
    }


Events = Callable[[str | None], tuple[list[Event], str | None]]
"""The page of events that a token names, and the token of the next page."""


def _subject(context: Context, fields: dict[str, Any]) -> tuple[str, Callable[[str], str], Events]:
    """The endpoint's id, how its entities are named for people, and its events."""
    caller, workspace = context.caller(), current_workspace()
    if one_of(fields, "registered_model_name", "serving_endpoint_name") == "registered_model_name":
        served = context.endpoints.describe(caller, workspace, fields["registered_model_name"])
        name = served.endpoint.name
        read = context.endpoints.events
        return (
            served.endpoint.id,
            str,
            lambda page: read(caller, workspace, name, version=None, page_token=page, limit=requests.MOST_EVENTS),
        )
    serving = context.deps.serving
    found = serving.describe(caller, workspace, fields["serving_endpoint_name"])
    # An entity's name in its key ends with the number of the configuration that it came with.
    return (
        found.endpoint.id,
        lambda entity: entity.rpartition(".")[0] or entity,
        lambda page: serving.events(
            caller, workspace, found.endpoint.name, page_token=page, limit=requests.MOST_EVENTS
        ),
    )


def _range(fields: dict[str, Any], now_ms: int) -> Range:
    """The steps that a request asks for; the last one may be under way."""
    end_ms = fields.get("to", now_ms)
    begin_ms = fields.get("from", end_ms - _HOUR_MS)
    if begin_ms >= end_ms:
        raise InvalidParameterError("Parameter 'from' must be earlier than 'to'.")
    span_s = (end_ms - begin_ms) / 1000
    step = fields.get("step") or next((one for one in _STEPS_S if span_s / one <= _POINTS), 0)
    step = step or -(-int(span_s) // _POINTS // 3600) * 3600
    if step % FINE_S:
        raise InvalidParameterError(f"Parameter 'step' must be a multiple of {FINE_S} seconds.")
    if begin_ms < now_ms - KEEP_FINE_S * 1000 and step % COARSE_S:
        # Older steps are kept by five minutes.
        step = (step // COARSE_S + 1) * COARSE_S
    if span_s / step > MOST_POINTS:
        raise InvalidParameterError(
            f"Parameter 'step' must be so long that there are at most {MOST_POINTS} steps from 'from' to 'to'."
        )
    begin, end = begin_ms // 1000 // step * step, -(-end_ms // (1000 * step)) * step
    return Range(begin, end, step)


def _step(parts: Iterable[Sample | None]) -> Sample | None:
    known = [part for part in parts if part is not None]
    return together(known) if known else None


def _series(samples: list[Sample | None]) -> dict[str, Any]:
    def each(value: Callable[[Sample], Any]) -> list[Any]:
        return [None if sample is None else value(sample) for sample in samples]

    statuses = {status for sample in samples if sample for status in sample.statuses}
    kinds = {name: is_kind for name, is_kind in _KINDS.items() if name in ("4xx", "5xx") or any(map(is_kind, statuses))}

    def errors(is_kind: Callable[[int], bool]) -> list[Any]:
        return each(lambda sample: sum(count for status, count in sample.statuses.items() if is_kind(status)))

    return {
        "requests": each(lambda sample: sample.requests),
        "errors": {name: errors(is_kind) for name, is_kind in kinds.items()},
        **{f"p{share}_ms": each(_quantile(share / 100)) for share in (50, 95, 99)},
        "in_hand": each(lambda sample: sample.in_hand),
        "replicas": each(lambda sample: sample.replicas),
        "memory_bytes": each(lambda sample: sample.memory_bytes),
        "cpu_seconds": each(lambda sample: round(sample.cpu_s, 2)),
        "batch_rows": each(lambda sample: round(sample.rows / sample.calls, 2) if sample.calls else None),
        "first_event_ms": each(lambda sample: quantile_ms(sample.first_events, 0.5)),
    }


def _quantile(share: float) -> Callable[[Sample], float | None]:
    return lambda sample: quantile_ms(sample.durations, share)


def _marks(events: Events, steps: Range, named: Callable[[str], str]) -> list[dict[str, Any]]:
    """The events of the range that people look for in a chart, by time."""
    marks: list[dict[str, Any]] = []
    page: str | None = None
    for _ in range(_MARK_PAGES):
        found, page = events(page)
        for event in found:
            if steps.begin * 1000 <= event.timestamp_ms < steps.end * 1000 and event.type not in _NO_MARKS:
                marks.append(
                    {
                        "time": event.timestamp_ms,
                        "event_type": event.type,
                        "message": event.message,
                        "endpoint_version_name": None if event.entity is None else named(event.entity),
                    }
                )
        if page is None or not found or found[-1].timestamp_ms < steps.begin * 1000:
            break
    return list(reversed(marks[:_MOST_MARKS]))
