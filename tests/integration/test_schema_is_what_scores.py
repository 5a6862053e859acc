"""``GET …/schema`` lists what MLflow's scoring server scores, for models of every kind of signature."""

from __future__ import annotations

import contextlib
import io
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import mlflow
import numpy as np
import pandas as pd
import pytest

with warnings.catch_warnings():
    # Of MLflow's own type hints.
    warnings.simplefilter("ignore")
    from mlflow.exceptions import MlflowException
    from mlflow.models import Model, ModelSignature, infer_signature
    from mlflow.models.utils import _save_example
    from mlflow.pyfunc import PyFuncModel, scoring_server
    from mlflow.types import ColSpec, Schema

from mlflow_serving_plugin.gateway.dialects.openapi import openapi_document
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.worker.tracking import NO_TRACKING_SERVER, TRACKING_URI

JSON = "application/json"
RECORDS, SPLIT = f"{JSON}; format=pandas-records", f"{JSON}; format=pandas-split"

FRAME = pd.DataFrame({"x": [1.0, 2.5], "city": ["a", "b"]})
CHAT = {"messages": [{"role": "user", "content": "Hello!"}]}
TENSORS = {"u": np.ones((2, 2)), "v": np.ones((2,))}

EXAMPLES: dict[str, Any] = {
    "named columns": FRAME,
    "one column": FRAME[["x"]],
    "one column of texts": FRAME[["city"]],
    "empty numbers": pd.DataFrame({"Age": [22.0, None], "Name": ["a", None]}),
    "a column named prompt": pd.DataFrame({"prompt": ["a"], "n": [1]}),
    "a datetime": pd.DataFrame({"day": [pd.Timestamp("2024-02-29")]}),
    "a list of texts": ["a"],
    "a text": "a",
    "a number": 1.5,
    "a list of numbers": [1.5, 2.0],
    "a dictionary": {"a": "x", "b": 1},
    "a dictionary with a list": {"a": ["x", "y"], "b": 1},
    "a list of dictionaries": [{"a": "x", "b": 1}],
    "nested": {"a": {"b": ["x"]}, "c": [{"d": 1}]},
    "a matrix": np.ones((2, 3), "float32"),
    "an array of three dimensions": np.ones((2, 2, 2), "float32"),
    "named arrays": TENSORS,
    "parameters": (FRAME, {"t": 0.5}),
    "a frame without names": pd.DataFrame([["one text"]]),
}
UNKNOWN_FRAME = {"no signature": FRAME}
"""Saved without a signature."""


class Anything:
    """A model that takes whatever MLflow hands to it."""

    def predict(self, data: Any, params: Any = None) -> list[int]:
        return [0]


class ListOfTexts(mlflow.pyfunc.PythonModel):
    """Its type hint is its signature."""

    def predict(self, model_input: list[str]) -> list[str]:
        return model_input


class Chat(mlflow.pyfunc.ChatModel):
    def predict(self, context, messages, params):
        from mlflow.types.llm import ChatCompletionResponse

        message = {"role": "assistant", "content": "hi"}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return ChatCompletionResponse.from_dict({"choices": [choice], "model": "m"})


class Agent(mlflow.pyfunc.ChatAgent):
    def predict(self, messages, context=None, custom_inputs=None):
        from mlflow.types.agent import ChatAgentMessage, ChatAgentResponse

        return ChatAgentResponse(messages=[ChatAgentMessage(role="assistant", content="hi", id="1")])


class Responses(mlflow.pyfunc.ResponsesAgent):
    def predict(self, request):
        from mlflow.types.responses import ResponsesAgentResponse

        return ResponsesAgentResponse(output=[self.create_text_output_item(text="hi", id="1")])


SAVED = {"a type hint": (ListOfTexts, ["a", "b"]), "ChatModel": (Chat, None), "ChatAgent": (Agent, None)} | {
    "ResponsesAgent": (Responses, None)
}


@pytest.fixture(autouse=True, scope="module")
def _no_tracking_server() -> Iterator[None]:
    """Agents trace what they answer: as in a worker, and with no database in the directory of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(TRACKING_URI, NO_TRACKING_SERVER)
        yield


def made(directory: Path, name: str) -> PyFuncModel:
    """A model of a kind, its MLmodel file and its example in the directory."""
    if name in SAVED:
        kind, example = SAVED[name]
        mlflow.pyfunc.save_model(directory, python_model=kind(), input_example=example, pip_requirements=["mlflow"])
        return mlflow.pyfunc.load_model(str(directory))
    directory.mkdir()
    example = {**EXAMPLES, **UNKNOWN_FRAME}[name]
    data, params = example if isinstance(example, tuple) else (example, None)
    meta = Model(signature=infer_signature(data, None, params) if name in EXAMPLES else None)
    meta.add_flavor("python_function", loader_module="mlflow.sklearn")
    _save_example(meta, example, str(directory))
    meta.save(str(directory / "MLmodel"))
    return PyFuncModel(meta, Anything(), predict_fn="predict")


def status_of(model: PyFuncModel, body: Any) -> int:
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            schema = model.metadata.get_input_schema()
            return scoring_server.invocations(json.dumps(body), JSON, model, schema).status
    except MlflowException as error:
        return error.get_http_status_code()


def bodies_like(forms: list[dict[str, Any]], *, rows: bool) -> Iterator[dict[str, Any]]:
    """The forms of an example, and what clients make of them: the same in each field, by row, by column, bare.

    ``rows``: also rows without names.
    """
    for form in forms:
        if rows or not _is_rows(form.get("inputs")):
            yield form
        params = {name: value for name, value in form.items() if name == "params"}
        content = form.get("inputs", form.get("dataframe_records"))
        if content is None:
            continue
        for field in ("inputs", "instances", "dataframe_records", "dataframe_split"):
            # Instances that are no list are no instances, though MLflow takes them.
            if (rows or not _is_rows(content)) and not (isinstance(content, dict) and field == "instances"):
                yield {field: content, **params}
        if isinstance(content, list) and isinstance(content[0], dict):
            by_column = {name: [row.get(name) for row in content] for name in content[0]}
            yield {**content[0], **params}
            if not any(isinstance(value, (list, dict)) for value in content[0].values()):
                yield {"inputs": by_column, **params}
                yield {"instances": by_column, **params}


def _is_rows(content: Any) -> bool:
    """Rows without names: MLflow takes them for one column of texts, and makes each row a text."""
    return isinstance(content, list) and isinstance(content[0], list)


@pytest.mark.parametrize("name", [*EXAMPLES, *UNKNOWN_FRAME, *SAVED])
def test_a_body_that_mlflow_scores_is_listed_and_what_is_listed_scores(tmp_path, name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = made(tmp_path / "model", name)
        example = scoring_example(tmp_path / "model")
        assert example is not None
        document = json.loads(openapi_document(tmp_path / "model", "m", 1))
        contents = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
        listed = jsonschema.Draft202012Validator(contents[JSON]["schema"])
        listed.validate(contents[JSON]["example"])
        rows = not isinstance(EXAMPLES.get(name), pd.DataFrame)
        bodies = list(bodies_like([json.loads(form.body) for form in example.forms], rows=rows))
        judged = {json.dumps(body): (listed.is_valid(body), status_of(model, body)) for body in bodies}
    assert status_of(model, contents[JSON]["example"]) == 200
    assert {body: found for body, found in judged.items() if found[0] != (found[1] == 200)} == {}
    assert any(valid for valid, _ in judged.values())


def test_a_model_of_texts_lists_inputs_alone(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made(tmp_path / "model", "a type hint")
    document = json.loads(openapi_document(tmp_path / "model", "m", 1))
    contents = document["paths"]["/invocations"]["post"]["requestBody"]["content"]
    (form,) = contents[JSON]["schema"]["oneOf"]
    assert (form["required"], form["properties"]["inputs"]) == (
        ["inputs"],
        {"type": "array", "items": {"type": "string"}},
    )
    assert list(contents) == [JSON]


@pytest.mark.parametrize(("kind", "fits"), [("double", True), ("binary", True)])
def test_what_a_row_may_hold_also_comes_in_the_forms_of_mlflow_1(tmp_path, kind, fits):
    model = Model(signature=ModelSignature(inputs=Schema([ColSpec(kind, "x")])))
    model.save(str(tmp_path / "MLmodel"))
    contents = json.loads(openapi_document(tmp_path, "m", 1))["paths"]["/invocations"]["post"]["requestBody"]["content"]
    row = [{"x": 1.5 if kind == "double" else "AA=="}]
    assert jsonschema.Draft202012Validator(contents[RECORDS]["schema"]).is_valid(row) is fits
    split = {"columns": ["x"], "data": [[1.5]]}
    assert jsonschema.Draft202012Validator(contents[SPLIT]["schema"]).is_valid(split) is fits
