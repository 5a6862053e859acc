"""A request's body of tensors as bytes, as clients of the Open Inference Protocol send them: no number becomes JSON.

The length of a header (u32, big-endian), the header, and the tensors' bytes one after the other. The header is JSON:
``kind`` (``pd``: each tensor a column; ``np``: one tensor; ``dict``: named tensors), ``tensors`` (name, NumPy's type
and shape of each), and ``params`` where the request has some. The gateway has checked that sizes and bytes agree.
"""

from __future__ import annotations

import json
import struct
from typing import Any, NamedTuple, Sequence

from .formats import INPUTS, SPLIT

TENSORS = "application/vnd.mlflow-serving.tensors"
_LENGTH = struct.Struct("!I")


class TensorBody(NamedTuple):
    """``arrays``: names and NumPy arrays, read-only views of the body."""

    kind: str
    arrays: list[tuple[str, Any]]
    params: dict[str, Any] | None


def write_body(
    kind: str, tensors: Sequence[tuple[str, str, Sequence[int]]], raws: Sequence[bytes | memoryview], params: Any
) -> bytes:
    """The body. ``tensors``: name, NumPy's type and shape of each; ``raws``: their bytes, one after the other."""
    header: dict[str, Any] = {"kind": kind, "tensors": tensors}
    text = json.dumps({**header, "params": params} if params else header).encode()
    return b"".join((_LENGTH.pack(len(text)), text, *raws))


def read_body(body: bytes) -> TensorBody:
    """The tensors of a body."""
    import numpy as np

    at = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    header = json.loads(body[_LENGTH.size : at])
    arrays = []
    for name, dtype, shape in header["tensors"]:
        count = 1
        for size in shape:
            count *= size
        array = np.frombuffer(body, dtype, count, at) if count else np.empty(0, dtype)
        arrays.append((name, array.reshape(shape)))
        at += array.nbytes
    return TensorBody(header["kind"], arrays, header.get("params"))


def as_json(body: bytes) -> bytes:
    """The same request as MLflow's scoring server takes it."""
    kind, arrays, params = read_body(body)
    document: dict[str, Any]
    if kind == "pd":
        columns = [array.reshape(-1).tolist() for _, array in arrays]
        document = {SPLIT: {"columns": [name for name, _ in arrays], "data": [list(row) for row in zip(*columns)]}}
    elif kind == "dict":
        document = {INPUTS: {name: array.tolist() for name, array in arrays}}
    else:
        document = {INPUTS: arrays[0][1].tolist()}
    return json.dumps(document if params is None else {**document, "params": params}).encode()
