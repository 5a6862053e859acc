"""What a user of tritonclient does, in a process of its own: gevent changes the sockets of a whole process.

Run with the server's address without its scheme, and a model of iris. Prints what came back, as JSON.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from tritonclient import http


def main(url: str, model: str) -> None:
    client = http.InferenceServerClient(url)
    described = client.get_model_metadata(model, "1")
    inputs = []
    for index, column in enumerate(described["inputs"]):
        inputs.append(http.InferInput(column["name"], [2, 1], column["datatype"]))
        inputs[-1].set_data_from_numpy(np.array([[5.1], [6.3]]) - index)
    (output,) = described["outputs"]
    found = {}
    for kind, binary in (("binary", True), ("json", False)):
        wanted = [http.InferRequestedOutput(output["name"], binary_data=binary)]
        for column in inputs:
            column.set_data_from_numpy(np.full((2, 1), 5.1), binary_data=binary)
        for packed in (None, "gzip", "deflate"):
            answer = client.infer(
                model,
                inputs,
                outputs=wanted,
                request_compression_algorithm=packed,
                response_compression_algorithm=packed,
            )
            found[f"{kind} {packed}"] = answer.as_numpy(output["name"]).tolist()
    plain = client.infer(model, inputs, model_version="1", request_id="7")
    found["default"] = plain.as_numpy(output["name"]).tolist()
    state = [
        client.is_server_live(),
        client.is_server_ready(),
        client.is_model_ready(model),
        plain.get_response()["id"],
    ]
    try:
        client.infer("nothing", inputs)
    except http.InferenceServerException as error:
        state.append(error.message())
    print(json.dumps({"found": found, "state": state, "described": described}))


main(*sys.argv[1:])
