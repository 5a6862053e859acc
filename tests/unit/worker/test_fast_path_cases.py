"""Random signatures and bodies: what the fast path takes is what MLflow hands to the model, value for value.

A longer run: ``FAST_PATH_CASES=20000 pytest tests/unit/worker/test_fast_path_cases.py``.
"""

from __future__ import annotations

import csv
import json
import os
import random
from unittest import mock

import fast_path_cases as cases
import pytest
from mlflow.models import Model
from mlflow.pyfunc import PyFuncModel
from worker_models import Predictor, Scorer

from mlflow_serving_plugin.worker import fast_path
from mlflow_serving_plugin.worker.same import same_value

_CASES = int(os.environ.get("FAST_PATH_CASES", "240"))
_PER_SIGNATURE = 12
_LANES = 4


class WithParams(Predictor):
    def predict(self, data, params=None):
        return [0] * len(data)


def scorer_of(signature):
    meta = Model(signature=signature)
    meta.add_flavor("python_function", loader_module="mlflow.pyfunc.model")
    scorer = Scorer(PyFuncModel(meta, WithParams(None), predict_fn="predict"))
    scorer.prepare_fast_path()
    return scorer


def layout(value):
    """What else a model can see of a frame: where its values lie."""
    blocks = [block.values for block in value._mgr.blocks] if hasattr(value, "_mgr") else []
    return sorted((values.shape, hasattr(values, "flags") and values.flags.c_contiguous) for values in blocks)


def assert_case(scorer, body):
    taken = scorer.decode("application/json", body)
    if taken is None:
        return False
    assert_csv(scorer, taken.model_input())
    try:
        arguments = scorer._call.arguments(taken.params)
    except Exception:
        return False  # MLflow's own way reports the parameters
    seen = scorer._input_by_mlflow(body)
    assert seen is not None, f"MLflow refuses {body!r}"
    made = taken.model_input()
    assert same_value(seen[0], made), f"{scorer._schema}\n{body!r}\nMLflow:\n{seen[0]!r}\nfast path:\n{made!r}"
    assert layout(seen[0]) == layout(made), f"{scorer._schema}\n{body!r}"
    assert same_value(seen[1], arguments), f"{body!r}: {seen[1]} and {arguments}"
    return True


def assert_csv(scorer, frame):
    try:
        body = frame.to_csv(index=False).encode("utf-8", "replace") if hasattr(frame, "to_csv") else b""
    except csv.Error:
        return  # before Python 3.11, no zeros in a text
    taken = scorer.decode("text/csv", body)
    if taken is not None:
        made, seen = taken.model_input(), scorer._input_by_mlflow(body, "text/csv")
        assert seen is not None, f"MLflow refuses {body!r}"
        assert same_value(seen[0], made), f"{scorer._schema}\n{body!r}\nMLflow:\n{seen[0]!r}\nfast path:\n{made!r}"
        assert layout(seen[0]) == layout(made), f"{scorer._schema}\n{body!r}"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lane", range(_LANES))
def test_random_bodies_become_what_mlflow_makes_of_them(lane):
    taken = total = 0
    loads = fast_path._loads if lane % 2 else json.loads
    with mock.patch.object(fast_path, "_loads", loads):
        for seed in range(lane, max(1, _CASES // _PER_SIGNATURE), _LANES):
            rng = random.Random(seed)
            signature = cases.signature(rng)
            scorer = scorer_of(signature)
            for _ in range(_PER_SIGNATURE):
                total += 1
                taken += assert_case(scorer, cases.body(signature, rng))
    assert taken > total / 5, f"the fast path took {taken} of {total} bodies"
