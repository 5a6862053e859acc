"""Runs in Ray's environment: one deployment that batches requests into one prediction."""

from __future__ import annotations

import os
import signal
from typing import Any

import ray
from ray import serve
from starlette.requests import Request


@serve.deployment(
    num_replicas=1, max_ongoing_requests=int(os.environ["APP_ONGOING"]), ray_actor_options={"num_cpus": 1}
)
class Model:
    def __init__(self, directory: str) -> None:
        import mlflow.pyfunc

        self._model = mlflow.pyfunc.load_model(directory)

    @serve.batch(
        max_batch_size=int(os.environ["APP_MAX_BATCH"]), batch_wait_timeout_s=float(os.environ["APP_MAX_WAIT_S"])
    )
    async def predict(self, bodies: list[dict[str, Any]]) -> list[list[Any]]:
        """Requests of one model have the same columns; rows of all of them make one frame."""
        import pandas as pd

        splits = [body["dataframe_split"] for body in bodies]
        rows = [row for split in splits for row in split["data"]]
        predictions = self._model.predict(pd.DataFrame(rows, columns=splits[0]["columns"])).tolist()
        answers, end = [], 0
        for split in splits:
            start, end = end, end + len(split["data"])
            answers.append(predictions[start:end])
        return answers

    async def __call__(self, request: Request) -> list[Any]:
        return await self.predict(await request.json())


if __name__ == "__main__":
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        _temp_dir=os.environ["APP_TEMP"],
        object_store_memory=200 * 1024 * 1024,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["APP_PORT"])})
    serve.run(Model.bind(os.environ["APP_MODEL"]))
    signal.signal(signal.SIGTERM, lambda *_: (serve.shutdown(), ray.shutdown(), os._exit(0)))
    while True:
        signal.pause()
