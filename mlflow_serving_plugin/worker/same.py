"""Whether two inputs of a model are the same: types, values to the bit, names, order and layout in memory."""

from __future__ import annotations

from typing import Any


def same_value(one: Any, other: Any) -> bool:
    """Whether a model could not tell two values apart. Frames, arrays, dicts, lists and scalars."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same_value(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same_value, one, other))
    compare = _BY_TYPE.get(type(one).__name__)
    # The text tells NaN and the sign of zero, and is exact for numbers.
    return compare(one, other) if compare else repr(one) == repr(other)


def same_frame(one: Any, other: Any) -> bool:
    """Whether two frames are the same to the bit: values, types, columns and index."""
    import pandas as pd

    if not isinstance(one, pd.DataFrame) or list(one.columns) != list(other.columns):
        return False
    if not (one.dtypes == other.dtypes).all() or one.columns.dtype != other.columns.dtype:
        return False
    if type(one.index) is not type(other.index) or not one.index.equals(other.index):
        return False
    for place, dtype in enumerate(one.dtypes):
        mine, theirs = one.iloc[:, place], other.iloc[:, place]
        if dtype.kind == "O":
            if not same_value(mine.tolist(), theirs.tolist()):
                return False
        elif not mine.equals(theirs):
            return False
    return True


def _same_array(one: Any, other: Any) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    if one.flags.c_contiguous != other.flags.c_contiguous or one.flags.f_contiguous != other.flags.f_contiguous:
        return False
    return same_value(one.tolist(), other.tolist()) if one.dtype.kind == "O" else one.tobytes() == other.tobytes()


_BY_TYPE = {"DataFrame": same_frame, "ndarray": _same_array}
