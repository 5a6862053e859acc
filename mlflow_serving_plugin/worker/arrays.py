"""NumPy arrays of JSON's numbers: the same as MLflow makes of them, or none."""

from __future__ import annotations

from typing import Any, Sequence

_BEYOND_64_BITS = 2.0**63
_FLOAT64_EXACT = 2.0**53


def array_of(value: Any, dtype: Any) -> Any:
    """What ``numpy.array(value, dtype)`` makes of finite numbers; None for anything else."""
    import numpy as np

    if dtype.kind == "f":
        array = _try_array(value, dtype)
        return array if array is not None and np.isfinite(array).all() else None
    array = _try_array(value)
    if array is None or array.dtype != (bool if dtype.kind == "b" else np.int64):
        return None
    if dtype.kind != "b" and (array.min() < np.iinfo(dtype).min or array.max() > np.iinfo(dtype).max):
        return None
    return array if array.dtype == dtype else array.astype(dtype)


def as_type(array: Any, dtype: Any) -> Any:
    """What ``array_of`` makes of the array's values in JSON; None for anything else."""
    import numpy as np

    if not array.size or array.dtype.kind not in ("f" if dtype.kind == "f" else "iu"):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            cast = array.astype(dtype, copy=False)
        return cast if np.isfinite(cast).all() else None
    if dtype.kind == "b" or array.max() > np.iinfo(dtype).max or array.min() < np.iinfo(dtype).min:
        return None
    return array.astype(dtype, copy=False) if array.max() <= np.iinfo(np.int64).max else None


def inferred(value: Any) -> Any:
    """What ``numpy.array(value)`` makes of numbers; None for anything else."""
    import numpy as np

    array = _try_array(value)
    if array is None or array.dtype not in (np.float64, np.int64):
        return None
    # Whole numbers beyond 64 bits are floats to orjson, but objects to MLflow.
    return array if array.dtype == np.int64 or (np.abs(array) < _BEYOND_64_BITS).all() else None


def _try_array(value: Any, dtype: Any = None) -> Any:
    """The array of a list; None for lists of several lengths, for values of other types, and for nothing at all."""
    import numpy as np

    if type(value) is not list:
        return None
    try:
        with np.errstate(over="ignore"):
            array = np.array(value, dtype=dtype)
    except (ValueError, TypeError, OverflowError):
        return None
    return array if array.size else None


def castable(array: Any, dtype: Any) -> bool:
    """Whether the cast of the array gives what the cast of each number by itself gives."""
    import numpy as np

    if dtype.kind == "i":
        return bool(array.min() >= np.iinfo(dtype).min and array.max() <= np.iinfo(dtype).max)
    # Larger whole numbers are rounded twice on the way to a smaller float.
    return dtype == array.dtype or bool(np.abs(array).max() <= min(_FLOAT64_EXACT, np.finfo(dtype).max))


def fits(shape: Sequence[int], wanted: Sequence[int]) -> bool:
    """Whether an array has a signature's shape, in which -1 is any size."""
    return len(shape) == len(wanted) and all(other in (-1, size) for size, other in zip(shape, wanted))
