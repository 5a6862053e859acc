"""Tensors of the Open Inference Protocol (V2): datatypes, shapes, and their values in JSON and in bytes. Pure."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from mlflow_serving_plugin.errors import BadRequestError

NUMPY = {
    "BOOL": "?", "UINT8": "<u1", "UINT16": "<u2", "UINT32": "<u4", "UINT64": "<u8", "INT8": "<i1", "INT16": "<i2",
    "INT32": "<i4", "INT64": "<i8", "FP16": "<f2", "FP32": "<f4", "FP64": "<f8",
}  # fmt: skip
"""Datatype → NumPy's, as the bytes are ordered in a body. ``BYTES`` is no array of NumPy's."""

OF_COLUMNS = {"boolean": "BOOL", "integer": "INT32", "long": "INT64", "float": "FP32", "double": "FP64"}
"""MLflow's types of columns; all others are ``BYTES``."""

OF_DTYPES = {
    "bool": "BOOL", "uint8": "UINT8", "uint16": "UINT16", "uint32": "UINT32", "uint64": "UINT64", "int8": "INT8",
    "int16": "INT16", "int32": "INT32", "int64": "INT64", "float16": "FP16", "float32": "FP32", "float64": "FP64",
}  # fmt: skip
_LENGTH = struct.Struct("<I")


class Tensor(NamedTuple):
    """``values``: flat, row by row; of ``BYTES``, texts."""

    name: str
    datatype: str
    shape: list[int]
    values: list[Any]
    content_type: str | None = None

    def nested(self) -> Any:
        """The values as nested lists of the tensor's shape."""
        values: list[Any] = self.values
        for size in self.shape[:0:-1]:
            values = [values[start : start + size] for start in range(0, len(values), size)] if size else []
        return values


def read_tensor(given: Any, raw: bytes | None, most: int) -> Tensor:
    """A tensor of a request; ``raw``: its bytes, where it has no ``data``. BadRequestError."""
    try:
        name, datatype, shape = str(given["name"]), given["datatype"], given["shape"]
        count = math.prod(shape)
        parameters = given.get("parameters") or {}
        content_type = parameters.get("content_type")
    except (KeyError, TypeError, AttributeError):
        raise BadRequestError("Each input must be an object with name, datatype, shape and data.") from None
    if datatype != "BYTES" and datatype not in NUMPY:
        raise BadRequestError(f"The datatype of input '{name[:100]}' is none of BYTES, {', '.join(NUMPY)}.")
    if not all(isinstance(size, int) and size >= 0 for size in shape) or not shape or count > most:
        raise BadRequestError(f"The shape of input '{name[:100]}' must be a list of sizes, of {most} values at most.")
    values = _of_bytes(name, datatype, raw, content_type) if raw is not None else list(_flat(given.get("data")))
    if len(values) != count:
        raise BadRequestError(f"Input '{name[:100]}' has {len(values)} values, and its shape asks for {count}.")
    return Tensor(name, datatype, shape, values, content_type)


class RawTensor(NamedTuple):
    """A tensor of numbers: ``size`` bytes as NumPy's ``dtype`` has them, either ``values`` or the next of a body."""

    name: str
    dtype: str
    shape: list[int]
    size: int
    values: bytes | None
    content_type: str | None


def raw_tensor(given: Any, most: int) -> RawTensor | None:
    """A tensor of a request, if it is one of numbers with nothing odd or wrong about it; else ``read_tensor`` says."""
    if not isinstance(given, dict):
        return None
    name, datatype, shape, parameters = (given.get(key) for key in ("name", "datatype", "shape", "parameters"))
    dtype, parameters = NUMPY.get(datatype, "?") if isinstance(datatype, str) else "?", parameters or {}
    if dtype == "?" or not isinstance(name, str) or not isinstance(parameters, dict):
        return None
    if not isinstance(shape, list) or not shape or not all(type(size) is int and size > 0 for size in shape):
        return None
    count, content_type = math.prod(shape), parameters.get("content_type")
    size, values = count * int(dtype[2:]), None
    told = parameters.get("binary_data_size")
    if content_type not in (None, "np") or count > most or told != (None if "data" in given else size):
        return None
    if "data" in given:
        values = _packed(given["data"], dtype, count)
    if told is None and values is None:
        return None
    return RawTensor(name, dtype, shape, size, values, content_type)


def _packed(data: Any, dtype: str, count: int) -> bytes | None:
    """Numbers from JSON in the datatype that the client names; None where the datatype cannot hold one of them."""
    import numpy

    try:
        array = numpy.array(data if isinstance(data, list) else None)
    except (ValueError, OverflowError):
        return None
    wanted = numpy.dtype(dtype)
    if array.size != count or array.dtype.kind not in ("iuf" if wanted.kind == "f" else "iu"):
        return None
    if wanted.kind == "f":
        with numpy.errstate(over="ignore"):
            return array.astype(wanted).tobytes()
    limits = numpy.iinfo(wanted)
    return array.astype(wanted).tobytes() if limits.min <= array.min() and array.max() <= limits.max else None


def write_bytes(tensor: Tensor) -> bytes:
    """The values as the binary extension has them; a null is NaN."""
    import numpy

    if tensor.datatype == "BYTES":
        texts = (str(value).encode() for value in tensor.values)
        return b"".join(_LENGTH.pack(len(text)) + text for text in texts)
    values = tensor.values
    if tensor.datatype.startswith("FP"):
        values = [math.nan if value is None else value for value in values]
    wanted = numpy.dtype(NUMPY[tensor.datatype])
    # NumPy 1 cuts what does not fit, NumPy 2 raises.
    if numpy.__version__ < "2" and wanted.kind in "iu" and values:
        limits = numpy.iinfo(wanted)
        if not limits.min <= min(values) <= max(values) <= limits.max:
            raise OverflowError(f"not all values are of {tensor.datatype}")
    return numpy.array(values, wanted).tobytes()


def infer_tensor(name: str, value: Any, declared: str | None) -> Tensor:
    """A tensor of a model's answer. A list is a column: ``[n, 1]``. ``declared``: the signature's datatype."""
    value = value if isinstance(value, list) else [value]
    shape, values = _shape_of(value)
    datatype = _datatype_of(values)
    if declared in NUMPY and datatype in NUMPY and (declared.startswith("FP") or not datatype.startswith("FP")):
        datatype = declared
    if datatype == "BYTES":
        values = [one if isinstance(one, str) else json.dumps(one) for one in values]
    return Tensor(name, datatype, [*shape, 1] if len(shape) == 1 else shape, values)


def _of_bytes(name: str, datatype: str, raw: bytes, content_type: str | None) -> list[Any]:
    import numpy

    if datatype == "BYTES":
        return list(_texts(name, raw, content_type))
    try:
        values: list[Any] = numpy.frombuffer(raw, NUMPY[datatype]).tolist()
    except ValueError:
        raise BadRequestError(f"The bytes of input '{name[:100]}' are no whole number of {datatype}.") from None
    return values


def _texts(name: str, raw: bytes, content_type: str | None) -> Iterator[str]:
    at = 0
    while at < len(raw):
        end = at + _LENGTH.size
        size = _LENGTH.unpack_from(raw, at)[0] if end <= len(raw) else 0
        if end > len(raw) or end + size > len(raw):
            raise BadRequestError(f"The bytes of input '{name[:100]}' are cut short.")
        element = raw[end : end + size]
        try:
            yield base64.b64encode(element).decode() if content_type == "base64" else element.decode()
        except UnicodeDecodeError:
            raise BadRequestError(f"Input '{name[:100]}' is no UTF-8: set content_type to base64.") from None
        at = end + size


def _flat(data: Any) -> Iterator[Any]:
    if not isinstance(data, list):
        raise BadRequestError("The data of an input must be a list.")
    for value in data:
        if isinstance(value, list):
            yield from _flat(value)
        else:
            yield value


def _shape_of(value: list[Any]) -> tuple[list[int], list[Any]]:
    """Shape and flat values of nested lists; lists of unlike lengths are values themselves."""
    shape, level = [len(value)], value
    while level and all(isinstance(one, list) and len(one) == len(level[0]) for one in level):
        shape.append(len(level[0]))
        level = [one for inner in level for one in inner]
    return shape, level


def _datatype_of(values: Sequence[Any]) -> str:
    kinds = set(map(type, values)) - {type(None)}
    if kinds == {bool}:
        return "BOOL"
    if kinds == {int} and None not in values and all(-(2**63) <= value < 2**63 for value in values):
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"
