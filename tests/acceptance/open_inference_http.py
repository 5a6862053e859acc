"""What a user of open-inference-openapi's client does, in a process of its own. Prints what came back, as JSON.

Run with the server's address, a model of iris, and an ``Authorization`` header.
"""

from __future__ import annotations

import json
import sys

import httpx
from open_inference.openapi.client import OpenInferenceClient
from open_inference.openapi.core.api_error import ApiError
from open_inference.openapi.types import InferenceRequest, RequestInput, TensorData


def main(url: str, model: str, authorization: str) -> None:
    client = OpenInferenceClient(base_url=url, httpx_client=httpx.Client(headers={"Authorization": authorization}))
    client.check_server_liveness()
    client.check_server_readiness()
    client.check_model_version_readiness(model, "1")
    described = client.read_model_version_metadata(model, "1")
    inputs = [
        RequestInput(name=column.name, shape=[2, 1], datatype=column.datatype, data=TensorData(__root__=[5.1, 5.1]))
        for column in described.inputs
    ]
    answer = client.model_version_infer(model, "1", request=InferenceRequest(id="7", inputs=inputs))
    (output,) = answer.outputs
    try:
        client.model_infer("nothing", request=InferenceRequest(inputs=inputs))
    except ApiError as error:
        refused = str(error.body)
    print(json.dumps({"found": output.dict()["data"], "id": answer.id, "refused": refused}))


main(*sys.argv[1:])
