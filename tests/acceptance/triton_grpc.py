"""What a user of tritonclient's gRPC client does, in a process of its own: its messages have the names of others'.

Run with the server's address, a model of iris, and an ``Authorization`` header. Prints what came back, as JSON.
"""

from __future__ import annotations

import json
import sys

import grpc
import numpy as np
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from tritonclient import grpc as triton


def main(address: str, model: str, authorization: str) -> None:
    allowed = {"authorization": authorization}
    client = triton.InferenceServerClient(address)
    described = client.get_model_metadata(model, "1", headers=allowed)
    inputs = []
    for column in described.inputs:
        inputs.append(triton.InferInput(column.name, [2, 1], column.datatype))
        inputs[-1].set_data_from_numpy(np.full((2, 1), 5.1))
    answer = client.infer(model, inputs, request_id="7", headers=allowed)
    packed = client.infer(model, inputs, model_version="1", headers=allowed, compression_algorithm="gzip")
    (output,) = described.outputs
    refused = {}
    for name, asked, headers in (("nobody", model, {}), ("nothing", "nothing", allowed)):
        try:
            client.infer(asked, inputs, headers=headers)
        except triton.InferenceServerException as error:
            refused[name] = [error.status(), error.message()]
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        asked = iter([reflection_pb2.ServerReflectionRequest(list_services="")])
        (listed,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(asked)
        of_service = reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService")
        (file,) = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([of_service]))
    print(
        json.dumps(
            {
                "found": answer.as_numpy(output.name).tolist(),
                "packed": packed.as_numpy(output.name).tolist(),
                "answered": [answer.get_response().id, answer.get_response().model_version],
                "state": [
                    client.is_server_live(),
                    client.is_server_ready(),
                    client.is_model_ready(model, "1", headers=allowed),
                    client.get_server_metadata().name,
                    health.status,
                ],
                "refused": refused,
                "services": sorted(service.name for service in listed.list_services_response.service),
                "file": len(file.file_descriptor_response.file_descriptor_proto),
            }
        )
    )


main(*sys.argv[1:])
