"""What users of kserve's two clients do, in an environment of its own. Prints what came back, as JSON.

Run with the server's address, that of its gRPC, a model of iris, and an ``Authorization`` header.
"""

from __future__ import annotations

import asyncio
import json
import sys

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

COLUMNS = ("sepal_length", "sepal_width", "petal_length", "petal_width")


async def main(url: str, grpc: str, model: str, authorization: str) -> None:
    found = {}
    headers = {"authorization": authorization}
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as client:
        assert await client.is_server_live(url)
        assert await client.is_server_ready(url)
        assert await client.is_model_ready(url, model, headers=headers)
        for binary in (True, False):
            answer = await client.infer(url, a_request(model, binary), model_name=model, headers=headers)
            found[f"http {binary}"] = answer.outputs[0].as_numpy().ravel().tolist()
    metadata = tuple(headers.items())
    async with InferenceGRPCClient(grpc) as client:
        assert await client.is_server_live()
        assert await client.is_server_ready()
        assert await client.is_model_ready(model, headers=metadata)
        answer = await client.infer(a_request(model, False), headers=metadata)
        found["grpc"] = answer.outputs[0].as_numpy().ravel().tolist()
    print(json.dumps(found))


def a_request(model: str, binary: bool) -> InferRequest:
    inputs = [InferInput(column, [2, 1], "FP64") for column in COLUMNS]
    for one in inputs:
        one.set_data_from_numpy(np.full((2, 1), 5.1), binary_data=binary)
    return InferRequest(model_name=model, infer_inputs=inputs)


asyncio.run(main(*sys.argv[1:]))
