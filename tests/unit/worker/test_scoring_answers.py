"""Answers of the fast path are MLflow's own, byte for byte."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from worker_models import Scorer, pyfunc, scorer_of, scoring_server, split_of

JSON = "application/json"
NAMES = [("sepal length (cm)", "double"), ("sepal width (cm)", "double"), ("ü", "double"), ("3", "double")]


def stock(scorer, body):
    return scoring_server.invocations(body, JSON, scorer.model, scorer._schema).response.encode()


def fast(scorer, body):
    rows = scorer.decode(JSON, body)
    assert rows is not None
    return scorer.encode(scorer.predict(rows))


def body_of(rows):
    return json.dumps({"dataframe_split": {"columns": [name for name, _ in NAMES], "data": rows}}).encode()


def bodies(frame):
    yield json.dumps({"dataframe_split": frame.to_dict(orient="split")}).encode()
    yield json.dumps({"dataframe_records": frame.to_dict(orient="records")}).encode()
    for start in range(0, len(frame), 7):
        yield json.dumps({"dataframe_split": split_of(frame[start : start + 1])}).encode()


@pytest.fixture(scope="module")
def iris():
    from sklearn.datasets import load_iris

    data = load_iris()
    return pd.DataFrame(data.data, columns=[name for name, _ in NAMES]), data.target


def test_classes_of_a_logistic_regression(iris):
    from sklearn.linear_model import LogisticRegression

    features, target = iris
    for labels in (target, target.astype("int32"), np.array(["a", "ü", "c"])[target], target == 1):
        scorer = scorer_of(NAMES, LogisticRegression(max_iter=200).fit(features, labels).predict)
        for body in bodies(features[::10].reset_index(drop=True)):
            assert fast(scorer, body) == stock(scorer, body)


def test_floats_and_probabilities_to_the_last_digit(iris):
    from sklearn.linear_model import LinearRegression, LogisticRegression

    features, target = iris
    linear = LinearRegression().fit(features, target)
    several = LinearRegression().fit(features, np.stack([target, target * 0.1], axis=1))
    classifier = LogisticRegression(max_iter=200).fit(features, target)
    for function in (linear.predict, several.predict, classifier.predict_proba):
        scorer = scorer_of(NAMES, function)
        for body in bodies(features[::10].reset_index(drop=True)):
            assert fast(scorer, body) == stock(scorer, body)


@pytest.mark.parametrize("kind", ["double", "float"])
def test_six_hundred_columns(kind):
    from sklearn.linear_model import LinearRegression

    generator = np.random.default_rng(3)
    names = [(f"feature {number}", kind) for number in range(600)]
    data = pd.DataFrame(generator.normal(size=(20, 600)), columns=[name for name, _ in names])
    model = LinearRegression().fit(data.astype("float32" if kind == "float" else "float64"), generator.normal(size=20))
    scorer = scorer_of(names, model.predict)
    for body in bodies(data):
        assert fast(scorer, body) == stock(scorer, body)


@pytest.mark.parametrize(
    "output",
    [
        lambda data: data,
        lambda data: data["ü"],
        lambda data: data["ü"].rename("score"),
        lambda data: [float("nan"), float("inf"), -0.0][: len(data)],
        lambda data: [{"label": "é", "scores": [1.5, None]}] * len(data),
        lambda data: data.to_numpy(dtype="float32"),
        lambda data: np.array([["a"], ["b"], ["ü"]])[: len(data)],
        lambda data: pd.Series(pd.date_range("2024-01-01", periods=len(data))),
        lambda data: {"a": np.arange(3), "b": "x"},
        lambda data: "all of them",
        lambda data: 1.5,
    ],
    ids=["frame", "series", "named", "floats", "dicts", "float32", "text", "dates", "dict", "string", "number"],
)
def test_outputs_of_every_kind(output):
    scorer = scorer_of(NAMES, output)
    body = body_of([[1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, -0.0], [1e18, 5e-324, 1 / 3, 7.0]])
    assert fast(scorer, body) == stock(scorer, body)


def raised(exception):
    def predict(_data):
        raise exception

    return predict


@pytest.mark.parametrize("exception", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), RecursionError()])
def test_whatever_a_model_raises_is_an_answer(exception):
    scorer = scorer_of(NAMES, lambda data: [0] * len(data))
    scorer.model._predict_fn = raised(exception)
    answer = scorer.score(JSON, body_of([[1.0, 2.0, 3.0, 4.0]]))
    assert 400 <= answer.status <= 500
    assert answer.body


@pytest.mark.parametrize("predict", [lambda data: int("no number"), lambda data: {1, 2}], ids=["an error", "no JSON"])
def test_an_answer_that_is_known_takes_no_second_look_at_a_large_body(monkeypatch, predict):
    scorer, seen = scorer_of(NAMES, predict), []
    monkeypatch.setattr(
        scorer,
        "_server",
        SimpleNamespace(
            invocations=lambda body, *more: seen.append(len(body)) or scoring_server.invocations(body, *more)
        ),
    )
    small, large = (scorer.answer(JSON, body_of([[1.0, 2.0, 3.0, 4.0]] * rows)) for rows in (2, 10_000))
    assert (large.status, large.body) == (small.status, small.body)
    assert large.status >= 400
    assert max(seen) < 1000


def test_a_body_that_is_nested_too_deeply_is_answered():
    answer = Scorer(pyfunc(NAMES, lambda data: [0])).score(JSON, b'{"inputs": ' + b"[" * 200_000)
    assert answer.status >= 400


def test_a_signature_with_other_types_is_left_to_mlflow_and_says_why():
    from mlflow.types import DataType
    from mlflow.types.schema import Array

    scorer = Scorer(pyfunc([("when", Array(DataType.datetime)), ("x", "double")], lambda data: [0] * len(data)))
    assert "column 'when' has arrays of datetime" in scorer.prepare_fast_path()
    assert scorer.decoder is None


# Custom models: the fast path in threads, where the model is called once


class Counted:
    def __init__(self, outcome):
        self.outcome = outcome
        self.calls = 0

    def __call__(self, data):
        self.calls += 1
        made = self.outcome()
        if isinstance(made, BaseException):
            raise made
        return made


def mlflow_error():
    from mlflow.exceptions import MlflowException

    return MlflowException("no such customer", error_code=3)


@pytest.mark.parametrize(
    "outcome",
    [lambda: [1.5], ValueError, mlflow_error, SystemExit, KeyboardInterrupt, RecursionError, object, lambda: {1: {2}}],
    ids=lambda outcome: outcome.__name__,
)
def test_a_custom_model_is_called_once_and_answers_as_mlflow_does(outcome):
    model = Counted(outcome)
    scorer = scorer_of(NAMES, model, flavor="mlflow.pyfunc.model")
    body = body_of([[1.0, 2.0, 3.0, 4.0]])
    answer = scorer.answer(JSON, body)
    assert model.calls == 1
    expected = scorer.score(JSON, body)
    assert (answer.status, answer.content_type) == (expected.status, expected.content_type)
    ours, theirs = json.loads(answer.body), json.loads(expected.body)
    for one in (ours, theirs):
        one.pop("stack_trace", None)  # has the lines that led to the model
    assert ours == theirs


def test_a_custom_model_sees_the_context_that_mlflow_predicts_in():
    from mlflow.pyfunc.context import get_prediction_context

    seen = []
    scorer = scorer_of(NAMES, lambda data: seen.append(vars(get_prediction_context())) or [0], "mlflow.pyfunc.model")
    scorer.model._model_id = "m-1"
    scorer.prepare_fast_path()
    body = body_of([[1.0, 2.0, 3.0, 4.0]])
    assert scorer.decode(JSON, body) is not None
    assert scorer.answer(JSON, body).body == scorer.score(JSON, body).body
    assert seen[0] == seen[1]
    assert seen[0]["model_id"] == "m-1"
    assert get_prediction_context() is None
