"""Models that are served although their examples, their paths, their sources or their answers are odd."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.models import register
from support.server import TrackingServer

NAME = "odd"
SECRET = "s3ntinel"
PLACE = re.compile(r"(?<![\w.:])/\w+/|\w+://")

CODE = """
import decimal, mlflow
from mlflow.exceptions import MlflowException
from mlflow.protos import databricks_pb2 as codes

class Model:
    def predict(self, data):
        PREDICT

def _load_pyfunc(path):
    LOADING
    return Model()
"""
ANSWERS = """op = data["op"].iloc[0]
        if op in ("INTERNAL_ERROR", "TEMPORARILY_UNAVAILABLE", "NOT_IMPLEMENTED", "RESOURCE_DOES_NOT_EXIST"):
            raise MlflowException("in its own words", error_code=getattr(codes, op))
        if op == "traceback":
            import traceback
            try:
                open("/srv/private/lookup.db")
            except OSError:
                raise ValueError(traceback.format_exc())
        if op == "borrowed":
            raise RuntimeError("Already borrowed")
        return {"set": {1}, "Decimal": [decimal.Decimal(1)], "generator": (n for n in [1]), "fine": [1]}[op]"""


def a_model(
    directory: Path,
    predict: str,
    *,
    inputs: list[dict[str, Any]] | None = None,
    info: dict[str, Any] | None = None,
    example: Any = None,
    loading: str = "pass",
    data: str = "data",
) -> Path:
    """A model of a few lines; ``example`` is the file that ``info`` names."""
    (directory / "code").mkdir(parents=True)
    (directory / "data" / "deep").mkdir(parents=True)
    (directory / "data" / "deep" / "m.json").write_text("7")
    code = CODE.replace("PREDICT", predict).replace("LOADING", loading)
    (directory / "code" / "odd_model.py").write_text(code)
    (directory / "example.json").write_text(json.dumps(example))
    content: dict[str, Any] = {
        "flavors": {"python_function": {"loader_module": "odd_model", "code": "code", "data": data}},
        "saved_input_example_info": info,
    }
    if inputs:
        content["signature"] = {"inputs": json.dumps(inputs)}
    (directory / "MLmodel").write_text(yaml.safe_dump(content))
    return directory


def the_models(root: Path) -> list[Path]:
    """In the order of their versions."""
    written, split = {"artifact_path": "example.json", "type": "dataframe"}, {"serving_input_path": "example.json"}
    zoned = {"columns": ["x", "when"], "data": [[1.0, "2024-02-29T10:00:00+01:00"]]}
    return [
        a_model(
            root / "values",
            "return data.iloc[:, 0].str.len().tolist()",
            info={**written, "pandas_orient": "values"},
            example=[["one text"]],
        ),
        a_model(
            root / "zoned",
            "return data['x'].tolist()",
            inputs=[{"name": "x", "type": "double"}, {"name": "when", "type": "datetime"}],
            info=split,
            example={"dataframe_split": zoned},
        ),
        a_model(root / "ragged", "return [len(data)]", info=split, example={"inputs": {"a": ["x", ["y", SECRET]]}}),
        a_model(root / "windows", "return [1]", loading="open(path).read()", data="data\\deep\\m.json"),
        a_model(root / "answers", ANSWERS, inputs=[{"name": "op", "type": "string"}]),
        a_model(root / "registry", "return [1]", loading="mlflow.pyfunc.load_model('models:/base/1')"),
        a_model(root / "gone", "return [1]", loading="open(path).read()", data="data\\gone.json"),
        a_model(root / "keyed", "return [1]", loading="__import__('os').environ['SCORE_API_KEY']"),
    ]


@pytest.fixture(scope="module")
def odd(strict: TrackingServer, tmp_path_factory: pytest.TempPathFactory) -> TrackingServer:
    """The server with all of them, and with versions whose source is another version's or a run's."""
    client = strict.client
    for model in the_models(tmp_path_factory.mktemp("odd")):
        register(client, NAME, model)
    run_id = client.get_model_version(NAME, "5").run_id
    client.create_model_version(NAME, f"runs:/{run_id}/model", run_id=run_id)
    client.create_model_version(NAME, f"models:/{NAME}/9")
    strict.enable(NAME, env_manager="local")
    strict.wait_ready(NAME, 1, 2, 3, 4, 5, 9, 10)
    strict.wait_state(NAME, "FAILED", 6, 7, 8)
    return strict


def told(server: TrackingServer, version: int) -> str:
    versions = server.api("GET", "list-versions", registered_model_name=NAME)["endpoint_versions"]
    return next(found["state_message"] for found in versions if found["endpoint_version_name"] == str(version))


@pytest.mark.parametrize("version", [1, 3])
def test_the_example_that_is_shown_is_one_that_scores(odd: TrackingServer, version: int) -> None:
    which = {"registered_model_name": NAME, "endpoint_version_name": str(version)}
    shown = odd.api("GET", "get-input-example", base="/ajax-api/2.0/mlflow/endpoints", **which)
    assert odd.score(f"{NAME}/{version}", shown["input_example"].encode()).status_code == 200
    assert ("The model takes the same example as dataframe_records." in told(odd, version)) is (version == 3)
    assert SECRET not in told(odd, version)


def test_a_model_that_refuses_its_own_example_serves_others_and_says_so_without_data(odd: TrackingServer) -> None:
    naive = {"dataframe_records": [{"x": 1.0, "when": "2024-02-29T10:00:00"}]}
    assert odd.score(f"{NAME}/2", naive).json() == {"predictions": [1.0]}
    note = told(odd, 2)
    assert note.startswith("The model refuses its own input example as dataframe_split: ")
    assert "timezone-naive" in note
    events = odd.api("GET", "get-event-history", registered_model_name=NAME, endpoint_version_name="2")["events"]
    assert any(note in event["message"] for event in events)
    assert "2024" not in json.dumps(events) + note


def test_a_model_that_was_logged_on_windows_is_served_from_the_file_that_is_there(odd: TrackingServer) -> None:
    assert odd.score(f"{NAME}/4", {"inputs": [1]}).json() == {"predictions": [1]}
    assert "logged on Windows with a path that does not exist here" in told(odd, 7)


@pytest.mark.parametrize("version", [6, 7, 8])
def test_a_reason_holds_no_path_and_no_uri_of_the_server(odd: TrackingServer, version: int) -> None:
    assert not PLACE.search(told(odd, version)), told(odd, version)


def test_a_model_that_needs_the_registry_is_told_what_to_set(odd: TrackingServer) -> None:
    assert "set tracking to on" in told(odd, 6)


def test_a_model_that_needs_a_variable_is_told_the_key_that_sets_it(odd: TrackingServer) -> None:
    assert "environment.SCORE_API_KEY" in told(odd, 8)


@pytest.mark.parametrize("version", [9, 10])
def test_a_version_is_served_whatever_its_source_refers_to(odd: TrackingServer, version: int) -> None:
    body = {"dataframe_records": [{"op": "fine"}]}
    assert odd.score(f"{NAME}/{version}", body).json() == {"predictions": [1]}


@pytest.mark.parametrize(
    ("op", "status", "code", "said"),
    [
        ("set", 500, "INTERNAL_ERROR", "the model returned a set, which has no JSON form"),
        ("Decimal", 500, "INTERNAL_ERROR", "the model returned a Decimal, which has no JSON form"),
        ("generator", 500, "INTERNAL_ERROR", "the model returned a generator, which has no JSON form"),
        ("INTERNAL_ERROR", 500, "INTERNAL_ERROR", "in its own words"),
        ("TEMPORARILY_UNAVAILABLE", 503, "TEMPORARILY_UNAVAILABLE", "in its own words"),
        ("NOT_IMPLEMENTED", 501, "NOT_IMPLEMENTED", "in its own words"),
        ("RESOURCE_DOES_NOT_EXIST", 404, "RESOURCE_DOES_NOT_EXIST", "in its own words"),
        ("traceback", 400, "BAD_REQUEST", "FileNotFoundError: [Errno 2] No such file or directory: 'lookup.db'"),
        ("borrowed", 400, "BAD_REQUEST", "set max_concurrency to 1"),
        ("unknown", 400, "BAD_REQUEST", "KeyError: 'unknown'"),
    ],
)
def test_an_error_of_a_model_has_the_status_of_the_stock_server_and_words(
    odd: TrackingServer, op: str, status: int, code: str, said: str
) -> None:
    answer = odd.score(f"{NAME}/5", {"dataframe_records": [{"op": op}]})
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    assert said in answer.json()["message"]
    assert answer.json().keys() == {"error_code", "message"}
    assert "Traceback" not in answer.text and "/srv" not in answer.text
