"""Answers of the fast path are MLflow's own, byte for byte."""

from __future__ import annotations

import json

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
    body = scorer.decoder.body_of([[1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, -0.0], [1e18, 5e-324, 1 / 3, 7.0]])
    assert fast(scorer, body) == stock(scorer, body)


def raised(exception):
    def predict(_data):
        raise exception

    return predict


@pytest.mark.parametrize("exception", [ValueError("no"), SystemExit(3), KeyboardInterrupt(), RecursionError()])
def test_whatever_a_model_raises_is_an_answer(exception):
    scorer = scorer_of(NAMES, lambda data: [0] * len(data))
    scorer.model._predict_fn = raised(exception)
    answer = scorer.score(JSON, scorer.decoder.body_of([[1.0, 2.0, 3.0, 4.0]]))
    assert 400 <= answer.status <= 500
    assert answer.body


def test_a_body_that_is_nested_too_deeply_is_answered():
    answer = Scorer(pyfunc(NAMES, lambda data: [0])).score(JSON, b'{"inputs": ' + b"[" * 200_000)
    assert answer.status >= 400


def test_a_signature_with_other_types_is_left_to_mlflow_and_says_why():
    scorer = Scorer(pyfunc([("when", "datetime"), ("x", "double")], lambda data: [0] * len(data)))
    assert "when" in scorer.prepare_fast_path()
    assert scorer.decoder is None
