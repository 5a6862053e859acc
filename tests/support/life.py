"""The life of a served model, step by step, for whichever tracking server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path

import psutil

from support import eventually
from support.dialects import DIALECTS, expected_reply
from support.models import Models, move_stage, register
from support.server import TrackingServer


class Life:
    """One registered model on one server, and what is true of it."""

    def __init__(self, server: TrackingServer, models: Models, name: str) -> None:
        self.server = server
        self.models = models
        self.client = server.client
        self.name = name
        self.rows = models.iris.iloc[[0, 60, 120]]

    def register(self, version: int) -> None:
        """Register the next version, whose answers tell it from all others."""
        assert register(self.client, self.name, self.models.path(f"iris-{version}")) == version

    def set_stage(self, version: int, stage: str) -> None:
        """Move a version to a stage."""
        move_stage(self.client, self.name, version, stage)

    def answer(self, reference: str) -> tuple[int, int | None]:
        """Score by a reference (``/2``, ``/Production``, ``@champion``): the status, and the version that answered."""
        response = self.server.score(self.path(reference), {"dataframe_split": self.rows.to_dict(orient="split")})
        if response.status_code != 200:
            assert response.json()["error_code"], response.text
            return response.status_code, None
        version = int(response.headers["X-MLflow-Model-Version"])
        assert response.json() == {"predictions": self.models.iris_predictions(version, self.rows)}
        return 200, version

    def path(self, reference: str) -> str:
        """What comes after ``/model/``."""
        return f"{self.name}{reference}"

    def becomes(self, reference: str, status: int, version: int | None = None, within_s: float = 30.0) -> None:
        """A reference comes to be answered so, soon, by every web worker."""
        eventually(
            lambda: all(self.answer(reference) == (status, version) for _ in range(4)),
            within_s=within_s,
            tail=lambda: f"{reference} is {self.answer(reference)}\n{self.server.tail()}",
        )

    def answers_in_every_dialect(self, reference: str, version: int) -> None:
        """Every form of request gets the right predictions, in the right wrapping."""
        wanted = self.models.iris_predictions(version, self.rows)
        for dialect in DIALECTS:
            response = self.server.score(
                self.path(reference), dialect.encode(self.rows), dialect.content_type, **dialect.headers
            )
            assert response.status_code == 200, f"{dialect.name}: {response.text}"
            assert response.json() == expected_reply(dialect, wanted), dialect.name
            assert response.headers["X-MLflow-Model-Version"] == str(version)
            assert response.headers["Content-Type"] == "application/json"

    def disable_leaves_nothing(self) -> None:
        """Disable: the URL is gone, and every process, socket, record and file of the model."""
        workers = self.server.workers(self.name)
        assert workers, "no worker to begin with"
        endpoint_id = self.server.routes()["endpoints"][f"default/{self.name}"]["id"]
        sessions = {worker["pid"] for worker in workers}
        assert session_processes(sessions)
        self.server.api("POST", "disable", registered_model_name=self.name)
        self.becomes("/1", 404)
        self.becomes("/latest", 404)
        eventually(lambda: not session_processes(sessions), tail=self.server.tail)
        state = self.server.state
        left = [f"models/{endpoint_id}*", f"logs/{endpoint_id}*", *(f"workers/{w['worker_id']}*" for w in workers)]
        eventually(
            lambda: not [path for pattern in left for path in state.glob(pattern)],
            tail=lambda: f"{list(state.rglob('*'))}\n{self.server.tail()}",
        )
        assert not [worker["address"] for worker in workers if Path(worker["address"]).exists()]


def session_processes(sessions: Collection[int]) -> list[int]:
    """The processes of workers and of all that they started: a worker leads a session of its own."""
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(OSError, psutil.Error):
            if os.getsid(pid) in sessions and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                found.append(pid)
    return found


def short_life(server: TrackingServer, models: Models, name: str) -> None:
    """Enable, score, move, archive, disable; and MLflow's own API beside it."""
    life = Life(server, models, name)
    life.register(1)
    life.register(2)
    life.set_stage(1, "Production")
    server.enable(name)
    server.wait_ready(name, 1, 2)
    life.answers_in_every_dialect("/1", 1)
    assert life.answer("/Production") == (200, 1)
    assert life.answer("/latest") == (200, 2)
    life.client.set_registered_model_alias(name, "champion", "2")
    life.becomes("@champion", 200, 2)
    life.set_stage(2, "Production")
    life.becomes("/Production", 200, 2)
    life.set_stage(1, "Archived")
    life.becomes("/1", 404)
    assert life.answer("/2") == (200, 2)

    def removed_after_draining() -> bool:
        events = server.api("GET", "get-event-history", registered_model_name=name)["events"]
        seen = [event["event_type"] for event in events if event["endpoint_version_name"] in {"1", None}]
        assert {"ENDPOINT_ENABLED", "VERSION_READY", "VERSION_DRAINING"} <= set(seen)
        # The newest first.
        return seen[:2] == ["VERSION_REMOVED", "VERSION_DRAINING"]

    eventually(removed_after_draining, tail=server.tail)
    life.disable_leaves_nothing()
    # The last one: what kept itself ready to start workers is gone too.
    eventually(lambda: not server.model_processes(), tail=server.tail)
    assert [path.name for path in server.sockets()] == ["nudge"]
