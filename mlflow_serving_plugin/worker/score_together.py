"""One call of the model for several requests."""

from __future__ import annotations

from time import perf_counter_ns

from . import batching
from .counts import Histogram
from .scoring import JSON, Answer, Scorer
from .waiting import Waiting


def score_together(scorer: Scorer, batch_rows: Histogram, batch: list[Waiting]) -> list[Answer] | None:
    """One call of the model for all requests; None when the model raised or did not answer row by row."""
    inputs = [waiting.input for waiting in batch if waiting.input is not None]
    if not inputs:
        return None
    start = perf_counter_ns()
    try:
        joined = inputs[0].join(inputs[1:]) if len(inputs) > 1 else inputs[0]
        output = scorer.predict(joined)
        predicted = perf_counter_ns()
        batch_rows.observe(joined.count)
        parts = batching.split(output, [one.count for one in inputs]) if len(inputs) > 1 else [output]
        if parts is None:
            return None
        bodies = [scorer.encode(part) for part in parts]
    except BaseException:  # MLflow's own way is asked next, and reports the error in MLflow's words
        return None
    encode_ns = (perf_counter_ns() - predicted) // len(batch)
    predict_ns = predicted - start
    return [Answer(200, JSON, body, waiting.decode_ns, predict_ns, encode_ns) for waiting, body in zip(batch, bodies)]
