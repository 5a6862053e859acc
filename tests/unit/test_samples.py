"""A request made from a signature is one that MLflow's own check of that signature takes."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

from mlflow_serving_plugin.registry.samples import Sample, sample_request

with warnings.catch_warnings():
    # MLflow warns of its own types when it is imported.
    warnings.simplefilter("ignore")
    from mlflow.models import Model, ModelSignature
    from mlflow.models.utils import _enforce_schema
    from mlflow.pyfunc.scoring_server import infer_and_parse_data
    from mlflow.types import ColSpec, DataType, Schema, TensorSpec
    from mlflow.types.schema import AnyType, Array, Map, Object, Property

MESSAGE = Object([Property("role", DataType.string), Property("content", DataType.string)])
SCHEMAS = {
    "every simple type": Schema([ColSpec(kind, kind.name) for kind in DataType]),
    "one optional column": Schema([ColSpec(DataType.double, "a"), ColSpec(DataType.double, "b", required=False)]),
    "optional columns only": Schema([ColSpec(DataType.double, "b", required=False)]),
    "nested": Schema([ColSpec(Array(DataType.long), "a"), ColSpec(Map(DataType.boolean), "m")]),
    "messages": Schema([ColSpec(Array(MESSAGE), "messages")]),
    "anything beside text": Schema([ColSpec(DataType.string, "q"), ColSpec(AnyType(), "any", required=False)]),
    "columns without names": Schema([ColSpec(DataType.double), ColSpec(DataType.double)]),
    "one text": Schema([ColSpec(DataType.string)]),
    "a tensor": Schema([TensorSpec(np.dtype("float32"), (-1, 2, 3))]),
    "named tensors": Schema([TensorSpec(np.dtype("int64"), (-1, 2), "x"), TensorSpec(np.dtype("float64"), (-1,), "y")]),
    "a name with quotes": Schema([ColSpec(DataType.double, "sepal \"length\" (cm) 'ü'")]),
}


def a_model(directory: Path, schema: Schema | None) -> Path:
    Model(signature=ModelSignature(inputs=schema) if schema else None).save(str(directory / "MLmodel"))
    return directory


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_sample_from_a_signature_passes_the_signature(tmp_path, name):
    sample = sample_request(a_model(tmp_path, SCHEMAS[name]))
    assert sample is not None
    assert sample.source == "signature"
    body = json.loads(sample.body, parse_constant=pytest.fail)
    _enforce_schema(infer_and_parse_data(body, SCHEMAS[name]), SCHEMAS[name])


def test_the_model_s_own_example_comes_first(tmp_path):
    model = Model(signature=ModelSignature(inputs=SCHEMAS["nested"]))
    model.saved_input_example_info = {"type": "dataframe", "serving_input_path": "serving_input_example.json"}
    (tmp_path / "serving_input_example.json").write_text('{"dataframe_records": [{"a": NaN}]}')
    model.save(str(tmp_path / "MLmodel"))
    assert sample_request(tmp_path) == Sample('{"dataframe_records": [{"a": null}]}', "example")


@pytest.mark.parametrize("text", ["", "signature: {inputs: '[{'}", 'signature: {inputs: \'[{"type": "odd"}]\'}', "{"])
def test_a_damaged_model_file_has_no_sample(tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    assert sample_request(tmp_path) is None


def test_a_model_with_neither_has_no_sample(tmp_path):
    assert sample_request(a_model(tmp_path, None)) is None
