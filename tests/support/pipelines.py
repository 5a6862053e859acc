"""Makes scikit-learn pipelines of every kind: such as compute each row from that row alone, and such as do not."""

from __future__ import annotations

import itertools
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, is_classifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.ensemble import (
    BaggingRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.kernel_approximation import Nystroem
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    PolynomialFeatures,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR
from sklearn.tree import DecisionTreeRegressor

_NUMBERS = ["x", "n"]
with warnings.catch_warnings():
    # Of MLflow's own modules.
    warnings.simplefilter("ignore")
    from mlflow.models import Model, ModelSignature
    from mlflow.pyfunc import PyFuncModel
    from mlflow.sklearn import _SklearnModelWrapper
    from mlflow.types import ColSpec, Schema

ROW_WISE = "row-wise"
_ROUNDING, _WITH_BORDERS = ("PCA", "TruncatedSVD", "Nystroem"), ("KBins", "KNeighbors", "HistGradient")
"""Whose last digit depends on the number of rows; whose result may depend on that digit."""


@dataclass(frozen=True)
class Pipeline:
    """A fitted pipeline, and how its answer to a row depends on other rows."""

    name: str
    kind: str
    estimator: Any


def loaded(estimator: Any) -> PyFuncModel:
    """One of the pipelines as MLflow loads it."""
    columns = [ColSpec("string", "city"), ColSpec("double", "x"), ColSpec("long", "n")]
    metadata = Model(signature=ModelSignature(inputs=Schema(columns)))
    metadata.add_flavor("python_function", loader_module="mlflow.sklearn")
    return PyFuncModel(metadata, _SklearnModelWrapper(estimator))


def rows(count: int, seed: int) -> pd.DataFrame:
    """Rows of which many have equal values, in no order."""
    choose = np.random.default_rng(seed)
    cities, numbers = choose.choice(["a", "b", "ü", ""], count), choose.integers(0, 5, count)
    return pd.DataFrame({"city": cities, "x": np.round(choose.normal(size=count), 1), "n": numbers})


def pipelines(count: int, seed: int) -> Iterator[Pipeline]:
    """So many pipelines, of which two in five are row-wise and made of known classes only."""
    choose = random.Random(seed)
    row_wise, others = _row_wise(choose), _others(choose)
    for number in range(count):
        kind, name, estimator = next(row_wise if number % 5 in (0, 3) else others)
        data = rows(40, seed + number)
        target = data["x"] * 2 + data["n"]
        estimator.fit(data, (target > target.median()).astype(int) if is_classifier(estimator) else target)
        if kind == "replaced":
            estimator.predict = _less_the_mean(estimator.predict)
        yield Pipeline(f"{number}: {name}", kind, estimator)


def _row_wise(choose: random.Random) -> Iterator[tuple[str, str, Any]]:
    scalers: list[Callable[[], Any]] = [
        StandardScaler,
        MinMaxScaler,
        PolynomialFeatures,
        lambda: QuantileTransformer(n_quantiles=10),
        lambda: KBinsDiscretizer(3, quantile_method="averaged_inverted_cdf"),
        SplineTransformer,
        lambda: PCA(1),
        SimpleImputer,
        lambda: Nystroem(n_components=5),
        lambda: FunctionTransformer(np.square),
        FunctionTransformer,
        lambda: FeatureUnion([("scaled", StandardScaler()), ("square", FunctionTransformer(np.square))]),
    ]
    models: list[Callable[[], Any]] = [
        Ridge,
        SVR,
        lambda: KNeighborsRegressor(algorithm="kd_tree"),
        DecisionTreeRegressor,
        lambda: GradientBoostingRegressor(n_estimators=5),
        lambda: HistGradientBoostingRegressor(max_iter=5),
        lambda: BaggingRegressor(n_estimators=3),
        lambda: VotingRegressor([("ridge", Ridge()), ("tree", DecisionTreeRegressor())]),
        lambda: StackingRegressor([("ridge", Ridge()), ("tree", DecisionTreeRegressor())], cv=2),
        lambda: TransformedTargetRegressor(Ridge(), func=np.arcsinh, inverse_func=np.sinh),
        lambda: GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2, scoring=_score),
        LogisticRegression,
        lambda: RandomForestClassifier(n_estimators=5),
        GaussianNB,
        SVC,
    ]
    while True:
        scaler, model = choose.choice(scalers)(), choose.choice(models)()
        city = choose.choice([OneHotEncoder(handle_unknown="ignore", sparse_output=False), "drop"])
        columns: Any = ColumnTransformer([("numbers", scaler, _NUMBERS), ("city", city, ["city"])])
        if choose.random() < 0.2:
            words = TfidfVectorizer(analyzer="char", preprocessor=_upper)
            columns = ColumnTransformer([("numbers", scaler, _NUMBERS), ("city", words, "city")])
            columns = make_pipeline(columns, TruncatedSVD(2))
        pipeline = make_pipeline(columns, model)
        if not (_holds(pipeline, _ROUNDING) and _holds(pipeline, _WITH_BORDERS)):
            yield ROW_WISE, f"{type(scaler).__name__} and {type(model).__name__}", pipeline


def _others(choose: random.Random) -> Iterator[tuple[str, str, Any]]:
    containers = [_plain, _column, _union, _grid, _voting, _target, _stacked]
    for turn in itertools.count():
        for kind, function in _FUNCTIONS.items():
            container = containers[(turn + len(kind)) % len(containers)]
            yield kind, container.__name__.strip("_"), container(FunctionTransformer(function))
        yield "subclass", "a scaler of the user's", _plain(GroupScaler())
        yield "subclass", "an estimator of the user's", make_pipeline(_numbers(), RelativeRidge())
        yield (
            "rounding before borders",
            "neighbours of components",
            make_pipeline(_numbers(), PCA(1), KNeighborsRegressor()),
        )
        yield "replaced", "a method of its own", make_pipeline(_numbers(), Ridge())
        choose.shuffle(containers)


class GroupScaler(StandardScaler):
    """Less the mean of the rows with the same number."""

    def transform(self, X: Any, copy: bool | None = None) -> Any:
        frame = pd.DataFrame(np.asarray(X), columns=_NUMBERS)
        return (frame - frame.groupby("n").transform("mean").assign(n=0)).to_numpy()


class RelativeRidge(Ridge):
    """Predicts what a row has above the mean of all."""

    def predict(self, X: Any) -> Any:
        found = super().predict(X)
        return found - found.mean()


_calls = itertools.count()
_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "group-wise": lambda d: pd.DataFrame({"x": d["x"], "m": d.groupby("n")["x"].transform("mean")}),
    "order-wise": lambda d: pd.DataFrame({"x": d["x"], "before": d["x"].shift(1, fill_value=0.0)}),
    "running": lambda d: d.cumsum(),
    "count-wise": lambda d: d.assign(count=len(d)),
    "stateful": lambda d: d.assign(call=float(next(_calls))),
    "random": lambda d: d.assign(noise=np.random.default_rng().normal(size=len(d))),
    "size-dependent": lambda d: d.rank() if len(d) > 10 else d * 0.5,
    "of equal rows": lambda d: d.assign(twice=d.duplicated(keep=False).astype(float)),
    "a function of the user's, row-wise": lambda d: d * 2,
}


def _numbers() -> ColumnTransformer:
    numbers = ColumnTransformer([("numbers", "passthrough", _NUMBERS)], verbose_feature_names_out=False)
    return numbers.set_output(transform="pandas")


def _plain(step: BaseEstimator) -> Any:
    return make_pipeline(_numbers(), step, Ridge())


def _column(step: BaseEstimator) -> Any:
    city = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return make_pipeline(ColumnTransformer([("own", step, _NUMBERS), ("city", city, ["city"])]), Ridge())


def _union(step: BaseEstimator) -> Any:
    return make_pipeline(_numbers(), FeatureUnion([("scaled", StandardScaler()), ("own", step)]), Ridge())


def _grid(step: BaseEstimator) -> Any:
    return GridSearchCV(_plain(step), {"ridge__alpha": [0.1]}, cv=2)


def _voting(step: BaseEstimator) -> Any:
    return VotingRegressor([("own", _plain(step)), ("known", make_pipeline(_numbers(), Ridge()))])


def _target(step: BaseEstimator) -> Any:
    return TransformedTargetRegressor(_plain(step), transformer=StandardScaler())


def _stacked(step: BaseEstimator) -> Any:
    return StackingRegressor([("own", _plain(step)), ("known", make_pipeline(_numbers(), Ridge()))], cv=2)


def _holds(pipeline: Any, names: tuple[str, ...]) -> bool:
    return any(name in repr(pipeline) for name in names)


def _upper(text: str) -> str:
    return text.upper() + "."


def _score(estimator: Any, data: Any, target: Any) -> float:
    return -float(np.abs(estimator.predict(data) - target).mean())


def _less_the_mean(predict: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def relative(data: Any) -> Any:
        found = predict(data)
        return found - found.mean()

    return relative
