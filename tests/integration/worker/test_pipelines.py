"""Generated pipelines: what is batched, and that no answer depends on the requests that it was batched with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import mlflow
import pytest
from support.pipelines import ROW_WISE, loaded, pipelines, rows

from mlflow_serving_plugin.worker import wire
from mlflow_serving_plugin.worker.batching import decide, same
from mlflow_serving_plugin.worker.engine import Engine
from mlflow_serving_plugin.worker.scoring import JSON, Scorer
from mlflow_serving_plugin.worker.status import StatusFile


class Peer:
    def __init__(self) -> None:
        self.data = b""

    def send(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None: ...

    def hold(self, reason: str, on: bool) -> None: ...


@pytest.mark.parametrize("count", [50, pytest.param(200, marks=pytest.mark.matrix)])
@pytest.mark.filterwarnings("ignore")
def test_of_many_pipelines_the_known_row_wise_ones_are_batched_and_no_answer_depends_on_others(tmp_path, count):
    batched = 0
    for pipeline in pipelines(count, seed=14):
        scorer = Scorer(loaded(pipeline.estimator))
        assert scorer.prepare_fast_path() is None
        verdict = decide(scorer, "auto", None)
        assert verdict.on is (pipeline.kind == ROW_WISE), (pipeline, verdict)
        if verdict.on:
            bodies = [body(rows(1 + number % 2, seed=number % 6)) for number in range(8)]
            answers = together(Engine(scorer, verdict, 256, StatusFile(str(tmp_path / "status"))), bodies)
            alone = [predictions(scorer.score(JSON, one).body) for one in bodies]
            assert answers == [pytest.approx(one, rel=1e-6, abs=1e-9) for one in alone], pipeline
            batched += 1
    assert batched == count * 2 // 5


@pytest.mark.parametrize("flavor", ["onnx", "statsmodels"])
@pytest.mark.filterwarnings("ignore")
def test_what_rounds_with_the_number_of_rows_rounds_no_more_than_the_documentation_says(flavor, models, tmp_path):
    scorer = Scorer(mlflow.pyfunc.load_model(str(models.path(flavor))))
    assert scorer.prepare_fast_path() is None
    verdict = decide(scorer, "auto", None)
    assert verdict.on
    bodies = [body(models.iris.iloc[[number]]) for number in range(0, 150, 2)]
    answers = together(Engine(scorer, verdict, 256, StatusFile(str(tmp_path / "status"))), bodies)
    for answer, one in zip(answers, bodies, strict=True):
        assert same(answer, predictions(scorer.score(JSON, one).body))


def body(data: Any) -> bytes:
    return json.dumps({"dataframe_records": data.to_dict("records")}).encode()


def predictions(answer: bytes) -> Any:
    return json.loads(answer)["predictions"]


def together(engine: Engine, bodies: list[bytes]) -> list[Any]:
    """The predictions for bodies that wait together."""

    async def main() -> Peer:
        peer = Peer()
        for number, one in enumerate(bodies):
            engine.take(peer, number, wire.Request(60_000, JSON, one))
        while engine.busy:
            await asyncio.sleep(0)
        return peer

    frames = sorted(wire.Decoder().feed(asyncio.run(main()).data), key=lambda frame: frame.id)
    return [predictions(wire.decode_response(frame).body) for frame in frames]
