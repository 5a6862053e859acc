from __future__ import annotations

import json
import warnings

import jsonschema
import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # MLflow warns of its own type hints when it is imported
    from mlflow.models import Model, ModelSignature
import numpy as np
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema, TensorSpec
from mlflow.types.schema import AnyType, Array, Map, Object, Property

from mlflow_serving_plugin.errors import UnavailableError
from mlflow_serving_plugin.gateway.dialects.openapi import openapi_document

LEGACY = "application/json; format=pandas-records"


def document(directory, signature=None, example=None):
    model = Model(signature=signature)
    if example is not None:
        model.saved_input_example_info = {"type": "dataframe", "serving_input_path": "serving_input_example.json"}
        (directory / "serving_input_example.json").write_text(json.dumps(example))
    model.save(str(directory / "MLmodel"))
    return json.loads(openapi_document(directory, "iris, version 3", 3), parse_constant=pytest.fail)


def contents(found):
    return found["paths"]["/invocations"]["post"]["requestBody"]["content"]


def test_a_signature_becomes_schemas_that_fit_its_rows_and_no_others(tmp_path):
    signature = ModelSignature(
        inputs=Schema(
            [
                ColSpec(DataType.double, "a"),
                ColSpec(Array(DataType.string), "b"),
                ColSpec(Object([Property("k", DataType.long), Property("o", DataType.string, required=False)]), "c"),
                ColSpec(Map(DataType.boolean), "d", required=False),
                ColSpec(AnyType(), "e", required=False),
            ]
        ),
        outputs=Schema([ColSpec(DataType.long, "label")]),
        params=ParamSchema(
            [ParamSpec("t", DataType.double, 0.5), ParamSpec("stop", DataType.string, ["x"], shape=(-1,))]
        ),
    )
    row = {"a": 1.5, "b": ["x"], "c": {"k": 1}, "d": {"on": True}, "e": 1}
    found = document(tmp_path, signature, {"dataframe_records": [row]})
    assert found["info"] == {"title": "iris, version 3", "version": "3"}
    schema = contents(found)[LEGACY]["schema"]
    jsonschema.validate([row], schema)
    for wrong in ({**row, "a": "x"}, {**row, "b": [1]}, {**row, "c": {}}, {"b": [], "c": {"k": 1}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate([wrong], schema)
    canonical = contents(found)["application/json"]
    assert canonical["example"] == {"dataframe_records": [row]}
    jsonschema.validate({"dataframe_records": [row], "params": {"t": 1, "stop": ["y"]}}, canonical["schema"])
    assert canonical["schema"]["oneOf"][0]["properties"]["params"]["properties"]["t"]["default"] == 0.5


def test_the_document_is_json_although_the_example_and_a_default_hold_no_number(tmp_path):
    nan = float("nan")
    signature = ModelSignature(
        inputs=Schema([ColSpec(DataType.double, "Age")]), params=ParamSchema([ParamSpec("t", DataType.double, nan)])
    )
    found = document(tmp_path, signature, {"dataframe_records": [{"Age": nan}]})
    assert contents(found)["application/json"]["example"] == {"dataframe_records": [{"Age": None}]}


def test_a_tensor_has_its_shape(tmp_path):
    signature = ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 2))]))
    forms = contents(document(tmp_path, signature))["application/json"]["schema"]["oneOf"]
    values = next(form["properties"]["inputs"] for form in forms if "inputs" in form["properties"])
    jsonschema.validate([[1, 2], [3, 4]], values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate([[1, 2, 3]], values)


def test_a_model_without_signature_takes_anything_in_every_content_type(tmp_path):
    found = contents(document(tmp_path))
    assert {"application/json", LEGACY, "text/csv", "application/vnd.apache.parquet"} <= set(found)
    assert found[LEGACY]["schema"] == {"type": "array"}


def test_an_unreadable_model_file_is_told_without_its_path(tmp_path):
    with pytest.raises(UnavailableError) as caught:
        openapi_document(tmp_path / "gone", "iris", 1)
    assert str(tmp_path) not in caught.value.message
