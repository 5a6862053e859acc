"""Whether a model scores each row by itself, told from the classes of the objects that the model is made of.

Trying a few rows cannot show that: a model may look at rows with equal keys, at the number of rows, or at values that
the tried rows do not hold. So every object within the model has to be of a class of ``known_classes``, or plain data.
A subclass is another class: the subclass may override anything.
"""

from __future__ import annotations

import re
import sys
import types
from functools import lru_cache
from typing import Any, Iterator

from . import onnx_graph
from .known_classes import JUMPS, KNOWN, NOT_ASKED_FOR_ROWS, ROUNDING

_WRAPPED = ("sklearn_model", "xgb_model", "lgb_model", "cb_model", "statsmodels_model")
"""Where MLflow's own wrappers of flavors keep the library's object."""

_METHODS = frozenset(("predict", "predict_proba", "predict_log_proba", "predict_joint_log_proba"))
_PLAIN = frozenset((type(None), bool, int, float, complex, str, bytes, slice, range))
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_DATA_OF = frozenset(("_loss", "builtins", "collections", "datetime", "numpy", "pandas", "re", "scipy"))
"""Packages whose objects are data. ``_loss`` is what scikit-learn 1.4 and 1.5 call their ``sklearn._loss._loss``."""

_LIBRARIES = frozenset(module.partition(".")[0] for module in KNOWN)
_OF_COLUMNS = re.compile(r"[\w\s~+:*-]*")
"""A formula of names of columns only."""

_CONSTANT_DUMMIES = ("constant", "most_frequent", "prior")
_TREES = ("ball_tree", "kd_tree")


def why_not_row_wise(model: Any) -> str | None:
    """None when an ``mlflow.pyfunc`` model scores each row by itself; else what stands against that, for a person."""
    method = getattr(model._predict_fn, "__name__", "")
    if method not in _METHODS:
        return f"{method or 'the function that MLflow calls'} is not known to score row by row"
    if type(model._model_impl).__name__ == "_OnnxModelWrapper":
        return onnx_graph.why_not_row_wise(getattr(model._model_impl.rt, "_model_path", None))
    root = _library_object(model._model_impl)
    if type(root).__module__.partition(".")[0] == "statsmodels":
        return _against_statsmodels(root)
    kind: type = type(root)
    return _against(root) if _is_known(kind) else _unknown(kind)


def _library_object(impl: Any) -> Any:
    """What MLflow's wrapper of the flavor holds; old versions of MLflow have no wrapper for scikit-learn."""
    if type(impl).__module__.startswith("mlflow."):
        return next((vars(impl)[name] for name in _WRAPPED if name in vars(impl)), impl)
    return impl


def _against(root: Any) -> str | None:
    """The first object within a known one that stands against it."""
    seen: set[int] = set()
    names: set[str] = set()
    todo = [("", root)]
    while todo:
        place, value = todo.pop()
        if type(value) in _PLAIN or id(value) in seen:
            continue
        seen.add(id(value))
        names.add(type(value).__name__)
        why = _against_one(place, value)
        if why:
            return why
        todo.extend(_parts(place, value))
    rounding, jumps = sorted(names & ROUNDING), sorted(names & JUMPS)
    return f"the last digit of {rounding[0]} may decide in {jumps[0]}" if rounding and jumps else None


def _against_one(place: str, value: Any) -> str | None:
    kind: type = type(value)
    package = kind.__module__.partition(".")[0]
    if isinstance(value, type):
        return None if value.__module__.partition(".")[0] in _DATA_OF else _unknown(value)
    if isinstance(value, _FUNCTIONS) or (package in ("functools", "numpy") and callable(value)):
        return None if _is_elementwise(value) else f"the function in {place} may look at several rows"
    if _is_known(kind):
        return _replaced(value) or _unless(value)
    if package == "sklearn":
        return _unknown(kind) if _is_estimator(kind) else None
    return None if package in _DATA_OF else _unknown(kind)


def _parts(place: str, value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, as (place, value). Objects of other libraries than scikit-learn hold data only."""
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        held = value.values() if isinstance(value, dict) else value
        # A vocabulary has a million entries.
        if not _PLAIN.issuperset(map(type, held)):
            yield from ((place, one) for one in held)
    elif type(value).__name__ == "ndarray":
        if value.dtype.hasobject and value.dtype.names is None:
            yield from ((place, one) for one in value.ravel())
    elif type(value).__module__.startswith("sklearn."):
        name = type(value).__name__
        attributes = getattr(value, "__dict__", {}).items()
        yield from ((f"{name}.{key}", one) for key, one in attributes if key not in NOT_ASKED_FOR_ROWS)


@lru_cache(maxsize=None)
def _is_known(kind: type) -> bool:
    """Whether a class is the very one that its library has under a known name, and none of its methods is replaced."""
    modules = (module for module in KNOWN if f"{kind.__module__}.".startswith(f"{module}."))
    return any(
        kind.__name__ in KNOWN[module].split() and getattr(sys.modules.get(module), kind.__name__, None) is kind
        for module in modules
    ) and all(_from_a_library(attribute) for base in kind.__mro__ for attribute in vars(base).values())


def _from_a_library(attribute: Any) -> bool:
    """False for a function that stands in a library's class, but was made elsewhere."""
    made_in = getattr(attribute, "__globals__", {}).get("__name__", "builtins").partition(".")[0]
    return made_in in _LIBRARIES or made_in in sys.builtin_module_names or made_in in ("enum", "typing")


def _replaced(value: Any) -> str | None:
    """For an object with a method of its own in place of its class's."""
    for name in getattr(value, "__dict__", {}):
        if isinstance(getattr(type(value), name, None), types.FunctionType):
            return f"{type(value).__name__}.{name} was replaced"
    return None


def _unless(value: Any) -> str | None:
    """For classes that score row by row with some of their parameters only."""
    name = type(value).__name__
    if name == "DummyClassifier" and value.strategy not in _CONSTANT_DUMMIES:
        return f"DummyClassifier with strategy={value.strategy} is random"
    if name == "FunctionTransformer":
        own = [function for function in (value.func, value.inverse_func) if function is not None]
        if value.kw_args or not all(map(_is_elementwise, own)):
            return "the function of FunctionTransformer may look at several rows"
    final = type(getattr(value, "final_estimator_", None)).__name__
    if final in JUMPS:
        return f"the last digit of an estimator may decide in {final}"
    if getattr(value, "_fit_method", None) not in (None, *_TREES):
        return f"ties between neighbours depend on rounding in {name} with algorithm={value._fit_method}"
    return None


def _is_elementwise(function: Any) -> bool:
    """Whether a function is a universal one of NumPy's or SciPy's, of one element."""
    if type(function).__name__ != "ufunc":
        return False
    homes = (sys.modules.get("numpy"), sys.modules.get("scipy.special"))
    own = any(getattr(home, function.__name__, None) is function for home in homes)
    return own and function.nin == 1 and function.signature is None


def _is_estimator(kind: type) -> bool:
    return any(base.__name__ == "BaseEstimator" for base in kind.__mro__)


def _unknown(kind: type) -> str:
    return f"{kind.__name__} is not known to score row by row"


def _against_statsmodels(results: Any) -> str | None:
    """For a regression. A function in a formula gets whole columns."""
    model = results.model
    kind: type = type(model)
    if not _is_known(kind):
        return _unknown(kind)
    if not _OF_COLUMNS.fullmatch(getattr(model, "formula", None) or ""):
        return "a formula with a function may look at several rows"
    family = getattr(model, "family", None)
    for part in (results, family, getattr(family, "link", None)):
        if part is not None and not type(part).__module__.startswith("statsmodels."):
            return _unknown(type(part))
    return None
