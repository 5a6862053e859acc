"""Runs MLflow's own scoring server code on bad requests and looks for the caller's data in what is left."""

from __future__ import annotations

import datetime
import json
import warnings

import numpy as np
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import scoring_server
from mlflow.exceptions import MlflowException
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import Array, Object, Property

from mlflow_serving_plugin.worker.redact import redact

CANARY = "canary-4711"
PARAMS = ParamSchema(
    [ParamSpec("t", DataType.double, 0.5), ParamSpec("d", DataType.datetime, datetime.datetime(2024, 1, 1))]
)
SCHEMAS = {
    "columns": Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.long, "b")]),
    "others": Schema([ColSpec(DataType.datetime, "a"), ColSpec(DataType.binary, "b"), ColSpec(DataType.boolean, "c")]),
    "nested": Schema([ColSpec(Array(DataType.long), "a"), ColSpec(Object([Property("k", DataType.long)]), "b")]),
    "unnamed": Schema([ColSpec(DataType.long)]),
    "tensor": Schema([TensorSpec(np.dtype("float64"), (-1, 2))]),
    "tensors": Schema([TensorSpec(np.dtype("float64"), (-1, 2), "a")]),
    "none": None,
}
VALUES = [CANARY, [CANARY], {"k": CANARY}, [[1, CANARY]], None]


class _Echo:
    """A model whose predict enforces the signature, as pyfunc does, then refuses in its own words."""

    def __init__(self, schema):
        signature = ModelSignature(inputs=schema, params=PARAMS) if schema else None
        self.metadata = mlflow.models.Model(signature=signature)
        self._schema = schema

    def predict(self, data, params=None):
        params_schema = PARAMS if self._schema else None
        mlflow.pyfunc._validate_prediction_input(data, params, self._schema, params_schema)
        raise MlflowException("the model's own words")


def _bodies():
    for value in VALUES:
        for params in ({}, {"params": {"t": CANARY}}, {"params": {"d": CANARY}}, {"params": CANARY}):
            row = {"a": value, "b": value, "c": value}
            yield {"dataframe_records": [row], **params}
            yield {"dataframe_split": {"columns": list(row), "data": [list(row.values())]}, **params}
            for field in ("inputs", "instances"):
                yield {field: [row], **params}
                yield {field: {name: [cell] for name, cell in row.items()}, **params}
                yield {field: value, **params}
    yield {"dataframe_records": CANARY}
    yield {"dataframe_split": {"columns": ["a"], "data": [[1, CANARY]]}}
    yield {"dataframe_split": {"columns": ["a"], "data": CANARY}}
    yield [CANARY]
    yield CANARY


@pytest.mark.parametrize("name", SCHEMAS)
@pytest.mark.filterwarnings("ignore")
def test_no_message_of_the_stock_server_gives_the_callers_values_back(name):
    requests = [("application/json", json.dumps(body).encode()) for body in _bodies()]
    requests += [
        ("application/json", f'{{"inputs": "{CANARY}"'.encode()),
        ("application/json", CANARY.encode() + b"\xff"),
        ("text/csv", f"a,b,c\n1,{CANARY},2\n".encode()),
        ("text/csv", f"a\n{CANARY},{CANARY}\n1,2,3".encode()),
        ("text/csv", CANARY.encode() + b"\xff"),
        ("application/vnd.apache.parquet", CANARY.encode()),
    ]
    schema = SCHEMAS[name]
    messages = []
    for content_type, body in requests:
        with pytest.raises(Exception) as caught:
            scoring_server.invocations(body, content_type, _Echo(schema), schema)
        if isinstance(caught.value, MlflowException):
            messages.append(caught.value.message)
    leaking = {redact(message) for message in messages if CANARY in redact(message)}
    assert not leaking
    assert sum(CANARY in message for message in messages) > 5
