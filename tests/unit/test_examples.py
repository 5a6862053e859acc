"""A model's logged example as a scoring request; what it names must lie inside the model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mlflow_serving_plugin.domain.entity import Example
from mlflow_serving_plugin.registry.examples import accepted_example, scoring_example

SPLIT = {"columns": ["a", "b"], "data": [[1, 2], [3, 4]]}


def a_model(directory: Path, info: object, **files: object) -> Path:
    """A model directory; ``files`` are ``name=content`` with ``.json`` added."""
    directory.mkdir(exist_ok=True)
    (directory / "MLmodel").write_text(yaml.safe_dump({"saved_input_example_info": info}))
    for name, content in files.items():
        (directory / f"{name}.json").write_text(json.dumps(content))
    return directory


def request_of(model: Path) -> object:
    found = scoring_example(model)
    assert found is not None
    assert found.content_type == "application/json"
    return json.loads(found.body, parse_constant=pytest.fail)


def test_the_request_body_that_mlflow_wrote_is_sent_byte_for_byte(tmp_path):
    model = a_model(tmp_path, {"serving_input_path": "serving.json", "artifact_path": "example.json"}, example=SPLIT)
    body = b'{"dataframe_split": {"data":[[1.0]] }}\n'
    (model / "serving.json").write_bytes(body)
    assert scoring_example(model) == Example(body, "application/json")


def test_an_empty_number_is_null_and_everything_else_keeps_its_bytes(tmp_path):
    model = a_model(tmp_path, {"serving_input_path": "serving.json"})
    written = b'{"dataframe_split": {"columns": ["Age", "NaN"], "data": [[NaN, "NaN"], [-Infinity, "1.0"]]}}'
    (model / "serving.json").write_bytes(written)
    null = written.replace(b"[NaN, ", b"[null, ").replace(b"-Infinity", b"null")
    assert scoring_example(model) == Example(null, "application/json")


def test_an_empty_number_of_an_older_model_is_null(tmp_path):
    info = {"artifact_path": "example.json", "type": "dataframe", "pandas_orient": "split"}
    model = a_model(tmp_path, info, example={"columns": ["Age"], "data": [[float("nan")]]})
    assert request_of(model) == {"dataframe_split": {"columns": ["Age"], "data": [[None]]}}


def forms_of(model: Path) -> list[object]:
    found = scoring_example(model)
    assert found is not None
    return [json.loads(form.body) for form in found.forms]


TEXT = {"dataframe_split": {"columns": ["text"], "data": [["one text"]]}}


@pytest.mark.parametrize("content", [[["one text"]], {"data": [["one text"]]}], ids=["rows", "MLflow's own"])
def test_a_frame_kept_without_column_names_is_sent_as_a_frame_with_the_signature_s_names(tmp_path, content):
    info = {"artifact_path": "example.json", "type": "dataframe", "pandas_orient": "values"}
    model = a_model(tmp_path, info, example=content)
    unnamed = [{"dataframe_split": {"columns": [0], "data": [["one text"]]}}, {"inputs": [["one text"]]}]
    assert forms_of(model)[-2:] == unnamed
    signature = {"inputs": json.dumps([{"type": "string", "name": "text"}])}
    (model / "MLmodel").write_text(yaml.safe_dump({"saved_input_example_info": info, "signature": signature}))
    assert TEXT in forms_of(model)[:2]
    assert {"dataframe_records": [{"text": "one text"}]} in forms_of(model)


@pytest.mark.parametrize(
    ("request_body", "other"),
    [
        ({"inputs": {"a": ["x", ["y"]]}}, {"dataframe_records": [{"a": ["x", ["y"]]}]}),
        ({"inputs": [{"a": 1}]}, {"dataframe_records": [{"a": 1}]}),
        ({"inputs": "one", "params": {"t": 1}}, {"inputs": ["one"], "params": {"t": 1}}),
        ({"inputs": ["a", "b"]}, {"dataframe_split": {"columns": [0], "data": [["a"], ["b"]]}}),
        ({"messages": [], "t": 1}, {"inputs": {"messages": [], "t": 1}}),
        ({"dataframe_split": {"data": [[1, 2]]}}, {"inputs": [[1, 2]]}),
    ],
)
def test_what_mlflow_wrote_comes_first_and_the_same_input_in_other_forms_after_it(tmp_path, request_body, other):
    model = a_model(tmp_path, {"serving_input_path": "serving.json"}, serving=request_body)
    assert forms_of(model)[0] == request_body
    assert other in forms_of(model)[1:]
    assert len(forms_of(model)) <= 6


@pytest.mark.parametrize(
    ("kind", "indices", "indptr"), [("csr", [0, 2, 1], [0, 2, 3]), ("csc", [0, 1, 0], [0, 1, 2, 3])]
)
def test_a_sparse_matrix_is_sent_as_its_rows(tmp_path, kind, indices, indptr):
    info = {"artifact_path": "example.json", "type": f"sparse_matrix_{kind}"}
    data = [1, 2, 3] if kind == "csr" else [1, 3, 2]
    sparse = {"data": data, "indices": indices, "indptr": indptr, "shape": [2, 3]}
    assert request_of(a_model(tmp_path, info, example=sparse)) == {"inputs": [[1, 0, 2], [0, 3, 0]]}


def test_a_form_that_a_worker_refused_is_not_shown(tmp_path):
    model = a_model(tmp_path, {"serving_input_path": "serving.json"}, serving={"inputs": "one"})
    assert json.loads(accepted_example(model, 1).body) == {"inputs": ["one"]}
    assert accepted_example(model, None) is None
    assert accepted_example(model, 99) is None


def test_the_frame_of_an_older_model_is_sent_as_the_split_that_it_is(tmp_path):
    info = {"artifact_path": "example.json", "type": "dataframe", "pandas_orient": "split"}
    assert request_of(a_model(tmp_path, info, example=SPLIT)) == {"dataframe_split": SPLIT}


def test_a_frame_kept_in_another_orientation_is_sent_in_that_one(tmp_path):
    info = {"artifact_path": "example.json", "type": "dataframe", "pandas_orient": "records"}
    assert request_of(a_model(tmp_path, info, example=[{"a": 1}])) == {"dataframe_records": [{"a": 1}]}


def test_an_array_is_sent_as_inputs(tmp_path):
    info = {"artifact_path": "example.json", "type": "ndarray", "format": "tf-serving"}
    assert request_of(a_model(tmp_path, info, example={"inputs": [[1, 2]]})) == {"inputs": [[1, 2]]}


def test_any_other_json_is_sent_as_inputs(tmp_path):
    info = {"artifact_path": "example.json", "type": "json_object"}
    assert request_of(a_model(tmp_path, info, example={"q": "why?"})) == {"inputs": {"q": "why?"}}


@pytest.mark.parametrize(
    ("kind", "inputs", "expected"),
    [
        ("dataframe", SPLIT, {"dataframe_split": SPLIT}),
        ("ndarray", {"inputs": [1]}, {"inputs": [1]}),
        ("json_object", ["a"], {"inputs": ["a"]}),
    ],
)
def test_parameters_are_sent_beside_the_input(tmp_path, kind, inputs, expected):
    info = {"artifact_path": "example.json", "type": kind, "pandas_orient": "split", "params": True}
    model = a_model(tmp_path, info, example={"inputs": inputs, "params": {"t": 0.5}})
    assert request_of(model) == {**expected, "params": {"t": 0.5}}


@pytest.mark.parametrize("info", [None, {}], ids=["none", "empty"])
def test_a_model_without_an_example_has_none(tmp_path, info):
    assert scoring_example(a_model(tmp_path, info)) is None


@pytest.mark.parametrize(
    "text",
    ["", "- a list", "just text", "a: [", "saved_input_example_info: text", "\x00", "saved_input_example_info: [1]"],
)
def test_a_damaged_model_file_means_no_example(tmp_path, text):
    (tmp_path / "MLmodel").write_text(text)
    assert scoring_example(tmp_path) is None


def test_a_model_file_that_is_not_even_text_means_no_example(tmp_path):
    (tmp_path / "MLmodel").write_bytes(b"\xff\xfe\xfa")
    assert scoring_example(tmp_path) is None


def test_no_model_file_means_no_example(tmp_path):
    assert scoring_example(tmp_path) is None


@pytest.mark.parametrize(
    "info",
    [{"serving_input_path": "gone.json"}, {"artifact_path": "gone.json", "type": "dataframe"}, {"type": "dataframe"}],
)
def test_an_example_that_is_named_and_not_there_is_none(tmp_path, info):
    assert scoring_example(a_model(tmp_path, info)) is None


def test_an_example_that_is_not_json_is_none(tmp_path):
    model = a_model(tmp_path, {"artifact_path": "example.json", "type": "dataframe"})
    (model / "example.json").write_text('{"columns": [')
    assert scoring_example(model) is None


def test_an_example_that_is_a_directory_is_none(tmp_path):
    model = a_model(tmp_path, {"serving_input_path": "example"})
    (model / "example").mkdir()
    assert scoring_example(model) is None


@pytest.mark.parametrize("field", ["serving_input_path", "artifact_path"])
@pytest.mark.parametrize("way", ["dots", "dots behind a directory", "absolute", "symlink", "symlinked directory"])
def test_an_example_outside_the_model_is_not_read(tmp_path, field, way):
    secret = tmp_path / "outside" / "secret.json"
    secret.parent.mkdir()
    secret.write_text('{"password": "hunter2"}')
    model = tmp_path / "model"
    name = {
        "dots": "../outside/secret.json",
        "dots behind a directory": "data/../../outside/secret.json",
        "absolute": str(secret),
        "symlink": "link.json",
        "symlinked directory": "linked/secret.json",
    }[way]
    a_model(model, {field: name, "type": "json_object"})
    (model / "data").mkdir()
    (model / "link.json").symlink_to(secret)
    (model / "linked").symlink_to(secret.parent)
    assert (model / name).read_text() == secret.read_text(), "the way would lead there"
    assert scoring_example(model) is None


def test_a_directory_whose_name_only_begins_like_the_model_s_is_outside_too(tmp_path):
    a_model(tmp_path / "model", {"serving_input_path": "../model-2/example.json"})
    a_model(tmp_path / "model-2", None, example=SPLIT)
    assert scoring_example(tmp_path / "model") is None


def test_a_model_that_is_itself_reached_by_a_symlink_keeps_its_example(tmp_path):
    model = a_model(tmp_path / "model", {"serving_input_path": "example.json"}, example=SPLIT)
    (tmp_path / "link").symlink_to(model)
    assert request_of(tmp_path / "link") == SPLIT
