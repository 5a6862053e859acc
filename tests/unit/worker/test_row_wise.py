"""Only models whose classes are known to score row by row are batched, and those are."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
import sklearn
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.decomposition import NMF, PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier, StackingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KBinsDiscretizer, StandardScaler
from sklearn.svm import SVC
from sklearn.utils import all_estimators
from worker_models import sklearn_scorer

from mlflow_serving_plugin.worker.known_classes import KNOWN
from mlflow_serving_plugin.worker.row_wise import _is_known, why_not_row_wise

FEATURES, CLASSES = load_iris(return_X_y=True)
IRIS = [(f"x{n}", "double") for n in range(4)]


def fitted(estimator: Any) -> Any:
    return estimator.fit(FEATURES, CLASSES)


def doubled(values: Any) -> Any:
    return values * 2


class OwnScaler(StandardScaler):
    pass


class OwnRegression(BaseEstimator):
    def fit(self, X: Any, y: Any) -> OwnRegression:
        return self

    def predict(self, X: Any) -> Any:
        return np.zeros(len(X))


def replaced(estimator: Any) -> Any:
    estimator.predict = doubled
    return estimator


def holding(estimator: Any, value: Any) -> Any:
    estimator.coef_ = value
    return estimator


class OwnArray(np.ndarray):
    pass


@pytest.mark.parametrize(
    ("estimator", "why"),
    [
        (make_pipeline(FunctionTransformer(doubled), Ridge()), "the function of FunctionTransformer"),
        (make_pipeline(FunctionTransformer(np.flipud), Ridge()), "the function of FunctionTransformer"),
        (make_pipeline(FunctionTransformer(sklearn.preprocessing.scale), Ridge()), "of FunctionTransformer"),
        (TransformedTargetRegressor(Ridge(), func=doubled, inverse_func=doubled), "the function "),
        (FeatureUnion([("own", OwnScaler())]), "OwnScaler is not known"),
        (Pipeline([("a", FeatureUnion([("own", OwnScaler())])), ("b", Ridge())]), "OwnScaler is not known"),
        (GridSearchCV(make_pipeline(OwnScaler(), Ridge()), {"ridge__alpha": [1.0]}), "OwnScaler is not known"),
        (OwnRegression(), "OwnRegression is not known"),
        (type("LogisticRegression", (LogisticRegression,), {"__module__": LogisticRegression.__module__})(), "is not"),
        (make_pipeline(KNNImputer(), Ridge()), "KNNImputer is not known"),
        (make_pipeline(NMF(2, max_iter=5), Ridge()), "NMF is not known"),
        (DummyClassifier(strategy="stratified", random_state=1), "strategy=stratified is random"),
        (SVC(kernel=lambda one, other: one @ other.T), "the function in SVC.kernel"),
        (KNeighborsClassifier(algorithm="brute"), "ties between neighbours"),
        (make_pipeline(PCA(2), KBinsDiscretizer(), Ridge()), "the last digit of PCA may decide in KBinsDiscretizer"),
        (StackingRegressor([("r", Ridge())], KNeighborsRegressor()), "may decide in KNeighborsRegressor"),
        (KNeighborsClassifier(weights=np.flipud), "the function in KNeighborsClassifier.weights"),
        (KNeighborsClassifier(weights=lambda distances: 1 / (distances + distances.mean())), "KNeighborsClassifier.we"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_a_pipeline_with_a_part_that_may_look_at_other_rows_is_refused(estimator, why):
    assert why in str(why_not_row_wise(sklearn_scorer(IRIS, fitted(estimator)).model))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (replaced(fitted(Ridge())), "Ridge.predict was replaced"),
        (holding(fitted(Ridge()), np.ones(4).view(OwnArray)), "OwnArray is not known"),
    ],
    ids=["replaced", "own array"],
)
def test_a_known_estimator_that_was_tampered_with_is_refused(model, why):
    assert why in str(why_not_row_wise(sklearn_scorer(IRIS, model).model))


def test_a_class_of_a_library_with_a_method_from_elsewhere_is_refused(monkeypatch):
    monkeypatch.setattr(LinearRegression, "predict", lambda self, X: X[:, 0] - X[:, 0].mean())
    _is_known.cache_clear()
    assert "LinearRegression is not known" in str(
        why_not_row_wise(sklearn_scorer(IRIS, fitted(LinearRegression())).model)
    )
    monkeypatch.undo()
    _is_known.cache_clear()


@pytest.mark.parametrize(
    "estimator",
    [
        make_pipeline(FunctionTransformer(np.log1p), FunctionTransformer(), StandardScaler(), Ridge()),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        GridSearchCV(Ridge(), {"alpha": [1.0]}, scoring=lambda model, X, y: float(model.predict(X)[0])),
        KNeighborsClassifier(metric=lambda one, other: float(np.abs(one - other).max())),
        DummyClassifier(strategy="prior"),
        RandomForestClassifier(n_estimators=3),
        make_pipeline(SimpleImputer(), Ridge()),
        make_pipeline(StandardScaler(), KBinsDiscretizer(), Ridge()),
        make_pipeline(PCA(2), RandomForestClassifier(n_estimators=3)),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore")
def test_known_classes_with_functions_that_get_no_several_rows_are_row_wise(estimator):
    model = pickle.loads(pickle.dumps(fitted(estimator))) if "lambda" not in str(estimator) else fitted(estimator)
    assert why_not_row_wise(sklearn_scorer(IRIS, model).model) is None


def test_a_text_pipeline_with_a_function_for_each_text_is_row_wise():
    pipeline = make_pipeline(TfidfVectorizer(preprocessor=str.upper), Ridge()).fit(["one", "two"], [1, 2])
    assert why_not_row_wise(sklearn_scorer(IRIS, pipeline).model) is None


def test_the_losses_of_scikit_learn_1_4_and_1_5_are_data_though_their_module_has_another_name():
    loss = type("CyHalfSquaredError", (), {"__module__": "_loss"})()
    assert why_not_row_wise(sklearn_scorer(IRIS, holding(fitted(Ridge()), loss)).model) is None


def test_every_known_class_of_scikit_learn_is_there_under_its_name():
    found = {name for name, _ in all_estimators()} | {"HalvingGridSearchCV", "HalvingRandomSearchCV"}
    newer = {"FixedThresholdClassifier", "FrozenEstimator", "TunedThresholdClassifierCV"}
    listed = {name for module, names in KNOWN.items() if module.startswith("sklearn") for name in names.split()}
    assert {name for name in listed - found - newer if not name.startswith("_")} == set()
