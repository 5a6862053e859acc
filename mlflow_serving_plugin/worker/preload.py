"""The modules that a zygote imports before it forks, so that its workers share them and start fast."""

from __future__ import annotations

import contextlib
import functools
import importlib

_ALWAYS = (
    *("asyncio", "concurrent.futures.thread", "uvloop", "pandas", "numpy", "pandas.io.formats.csvs", "encodings.cp437"),
    *("pyarrow.pandas_compat", "mlflow.pyfunc", "mlflow.pyfunc.scoring_server"),
)
_OURS = f"{__package__}.serve"
"""What a fork becomes: with all modules of this package that a worker needs."""

_BY_FLAVOR = {
    "mlflow.sklearn": (
        *("sklearn", "sklearn.pipeline", "sklearn.linear_model", "sklearn.ensemble", "sklearn.preprocessing"),
        *("sklearn.compose", "sklearn.impute", "sklearn.tree", "sklearn.svm", "sklearn.neighbors", "skops.io"),
        *("narwhals._pandas_like.dataframe", "narwhals._pandas_like.namespace", "narwhals.stable.v2._namespace"),
    ),
    "mlflow.xgboost": ("xgboost",),
    "mlflow.lightgbm": ("lightgbm",),
    "mlflow.catboost": ("catboost",),
    "mlflow.statsmodels": ("statsmodels.api",),
}
"""By the module that loads a model. Only libraries that start no threads and touch no GPU when they are imported."""


def preload_always() -> None:
    """Import what every model needs."""
    for name in (*_ALWAYS, _OURS):
        _try_import(name)
    for fill in (_list_packages, _list_stores, _make_a_frame):
        # What a zygote could not make, each worker makes for itself.
        with contextlib.suppress(Exception):
            fill()


def preload_flavor(loader_module: str) -> None:
    """Import what a flavor's models need. A loader module that is not listed may be a model's own code."""
    if loader_module in _BY_FLAVOR:
        for name in (loader_module, *_BY_FLAVOR[loader_module]):
            _try_import(name)


@functools.lru_cache(maxsize=None)
def _try_import(name: str) -> None:
    """Once: an import that failed is not tried before each fork. A worker that needs the library reports the error."""
    with contextlib.suppress(Exception):
        importlib.import_module(name)


def _list_packages() -> None:
    """Have MLflow list the installed packages here and not in each fork: most of the time that loading a model takes.

    MLflow compares a model's requirements with the list, to warn of differences. The caches are MLflow's internals,
    and only some versions have them.
    """
    from mlflow.utils import requirements_utils

    requirements_utils._init_modules_to_packages_map()
    requirements_utils._init_packages_to_modules_map()


def _list_stores() -> None:
    """Have MLflow read the entry points of all packages here, for its list of registry stores: see ``tracking``."""
    from mlflow.tracking._model_registry import utils as registry

    registry._get_store_registry()


def _make_a_frame() -> None:
    """Have pandas and Arrow make what they make once: 2.5 MB that forks share."""
    import pandas as pd

    frame = pd.DataFrame([[1.0, "text"]], columns=["number", "text"])
    frame["number"] = frame["number"].astype("float32")
