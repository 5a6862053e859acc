"""Between the messages of V2's gRPC and V2 over HTTP with tensors as bytes (``binary_tensor_data``). Pure."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy

from mlflow_serving_plugin.errors import BadRequestError
from mlflow_serving_plugin.gateway.dialects.v2 import LENGTH_HEADER
from mlflow_serving_plugin.gateway.dialects.v2_tensors import NUMPY
from mlflow_serving_plugin.grpc.messages import message_class

_LENGTH = struct.Struct("<I")
_CONTENTS = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
"""Where the values of a datatype stand. FP16 has no such place, and comes as bytes only."""


def model_path(name: str, version: str, action: str = "") -> str:
    """The path of a model's route."""
    return "/".join(filter(None, ("/v2/models", name, version and f"versions/{version}", action)))


def infer_body(request: Any) -> tuple[dict[str, str], bytes]:
    """Headers and body of a ``ModelInferRequest``; BadRequestError when its tensors do not add up."""
    raws = _raw_inputs(request)
    document: dict[str, Any] = {
        "parameters": {**_parameters(request), "binary_data_output": True},
        "inputs": [
            {
                "name": one.name,
                "datatype": one.datatype,
                "shape": list(one.shape),
                "parameters": {**_parameters(one), "binary_data_size": len(raw)},
            }
            for one, raw in zip(request.inputs, raws, strict=True)
        ],
    }
    if request.id:
        document["id"] = request.id
    if request.outputs:
        # All come as bytes, whatever a client that knows HTTP asks for.
        document["outputs"] = [
            {"name": one.name, "parameters": {**_parameters(one), "binary_data": True}} for one in request.outputs
        ]
    text = json.dumps(document).encode()
    return {LENGTH_HEADER.lower(): str(len(text))}, b"".join((text, *raws))


def infer_response(headers: Mapping[str, str], body: bytes, *, raw: bool) -> Any:
    """The ``ModelInferResponse`` of an answer. ``raw``: tensors as bytes, as clients get them that send bytes."""
    length = int(headers.get(LENGTH_HEADER.lower(), len(body)))
    document, rest = json.loads(body[:length]), body[length:]
    response = message_class("ModelInferResponse")(
        model_name=document["model_name"], model_version=document["model_version"], id=str(document.get("id", ""))
    )
    for one in document["outputs"]:
        output = response.outputs.add(name=one["name"], datatype=one["datatype"], shape=one["shape"])
        size = one["parameters"]["binary_data_size"]
        values, rest = rest[:size], rest[size:]
        if raw or one["datatype"] not in _CONTENTS:
            response.raw_output_contents.append(values)
        else:
            found = getattr(output.contents, _CONTENTS[one["datatype"]])
            found.extend(
                _elements(values)
                if one["datatype"] == "BYTES"
                else numpy.frombuffer(values, NUMPY[one["datatype"]]).tolist()
            )
    return response


def metadata_response(kind: str, document: Mapping[str, Any]) -> Any:
    """``ServerMetadataResponse`` or ``ModelMetadataResponse`` of a JSON answer with the same fields."""
    return message_class(kind)(**document)


def _raw_inputs(request: Any) -> list[bytes]:
    """The values of each input as bytes."""
    if not request.raw_input_contents:
        return [_raw(one) for one in request.inputs]
    if len(request.raw_input_contents) != len(request.inputs) or any(
        one.HasField("contents") for one in request.inputs
    ):
        raise BadRequestError("The values must be in raw_input_contents, one for each input, or in all contents.")
    return list(request.raw_input_contents)


def _raw(one: Any) -> bytes:
    values = getattr(one.contents, _CONTENTS.get(one.datatype, ""), None)
    if values is None:
        raise BadRequestError(f"The datatype of input '{one.name[:100]}' has to come in raw_input_contents.")
    if one.datatype == "BYTES":
        return b"".join(_LENGTH.pack(len(value)) + value for value in values)
    try:
        return numpy.array(list(values), NUMPY[one.datatype]).tobytes()
    except OverflowError:
        raise BadRequestError(f"A value of input '{one.name[:100]}' is no {one.datatype}.") from None


def _elements(values: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(values):
        end = at + _LENGTH.size + _LENGTH.unpack_from(values, at)[0]
        yield values[at + _LENGTH.size : end]
        at = end


def _parameters(part: Any) -> dict[str, Any]:
    chosen = ((name, value, value.WhichOneof("parameter_choice")) for name, value in part.parameters.items())
    return {name: getattr(value, choice) for name, value, choice in chosen if choice}
