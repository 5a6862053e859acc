"""The messages of ``inference.GRPCInferenceService``, made at run time from the table below.

In a pool of their own: tritonclient, kserve and others register the same names in protobuf's default pool, and a
process may hold each name once. Field numbers as in the specification, kserve/open-inference-protocol.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE, SERVICE = "inference", "inference.GRPCInferenceService"
RPCS = ("ServerLive", "ServerReady", "ModelReady", "ServerMetadata", "ModelMetadata", "ModelInfer")
"""Each takes ``<name>Request`` and answers ``<name>Response``."""

_MESSAGES = """
InferParameter: bool bool_param 1 of parameter_choice, int64 int64_param 2 of parameter_choice,
    string string_param 3 of parameter_choice, double double_param 4 of parameter_choice,
    uint64 uint64_param 5 of parameter_choice
InferTensorContents: bool* bool_contents 1, int32* int_contents 2, int64* int64_contents 3, uint32* uint_contents 4,
    uint64* uint64_contents 5, float* fp32_contents 6, double* fp64_contents 7, bytes* bytes_contents 8
ServerLiveRequest:
ServerLiveResponse: bool live 1
ServerReadyRequest:
ServerReadyResponse: bool ready 1
ModelReadyRequest: string name 1, string version 2
ModelReadyResponse: bool ready 1
ServerMetadataRequest:
ServerMetadataResponse: string name 1, string version 2, string* extensions 3
ModelMetadataRequest: string name 1, string version 2
ModelMetadataResponse: string name 1, string* versions 2, string platform 3, TensorMetadata* inputs 4,
    TensorMetadata* outputs 5
TensorMetadata: string name 1, string datatype 2, int64* shape 3
ModelInferRequest: string model_name 1, string model_version 2, string id 3, parameters parameters 4,
    InferInputTensor* inputs 5, InferRequestedOutputTensor* outputs 6, bytes* raw_input_contents 7
InferInputTensor: string name 1, string datatype 2, int64* shape 3, parameters parameters 4,
    InferTensorContents contents 5
InferRequestedOutputTensor: string name 1, parameters parameters 2
ModelInferResponse: string model_name 1, string model_version 2, string id 3, parameters parameters 4,
    InferOutputTensor* outputs 5, bytes* raw_output_contents 6
InferOutputTensor: string name 1, string datatype 2, int64* shape 3, parameters parameters 4,
    InferTensorContents contents 5
"""
"""A line for each message: type, name and number of each field; ``*``: repeated; ``parameters``: a map."""

_Field = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "bool": _Field.TYPE_BOOL,
    "int32": _Field.TYPE_INT32,
    "int64": _Field.TYPE_INT64,
    "uint32": _Field.TYPE_UINT32,
    "uint64": _Field.TYPE_UINT64,
    "float": _Field.TYPE_FLOAT,
    "double": _Field.TYPE_DOUBLE,
    "string": _Field.TYPE_STRING,
    "bytes": _Field.TYPE_BYTES,
}


def make_pool() -> descriptor_pool.DescriptorPool:
    """A pool with the messages and the service."""
    file = descriptor_pb2.FileDescriptorProto(name="open_inference.proto", package=PACKAGE, syntax="proto3")
    for line in _MESSAGES.replace(",\n", ",").strip().splitlines():
        name, _, given = line.partition(":")
        message = file.message_type.add(name=name)
        for field in filter(None, (part.split() for part in given.split(","))):
            _add_field(message, *field)
    service = file.service.add(name=SERVICE.removeprefix(f"{PACKAGE}."))
    for rpc in RPCS:
        service.method.add(name=rpc, input_type=f".{PACKAGE}.{rpc}Request", output_type=f".{PACKAGE}.{rpc}Response")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add_field(message: Any, kind: str, name: str, number: str, *one_of: str) -> None:
    field = message.field.add(name=name, number=int(number), label=_Field.LABEL_OPTIONAL)
    if kind.endswith("*"):
        field.label = _Field.LABEL_REPEATED
    kind = kind.rstrip("*")
    if kind == "parameters":
        entry = message.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        _add_field(entry, "string", "key", "1")
        _add_field(entry, "InferParameter", "value", "2")
        field.label, kind = _Field.LABEL_REPEATED, f"{message.name}.ParametersEntry"
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _Field.TYPE_MESSAGE, f".{PACKAGE}.{kind}"
    if one_of:
        if not message.oneof_decl:
            message.oneof_decl.add(name=one_of[-1])
        field.oneof_index = 0


POOL = make_pool()


def message_class(name: str) -> Any:
    """The class of a message."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
