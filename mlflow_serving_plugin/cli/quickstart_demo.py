"""The quickstart's steps: start a server, register a model, enable serving, score."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import requests

from mlflow_serving_plugin.cli.children import Child
from mlflow_serving_plugin.cli.client import ServingClient
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.progress import Progress, Step, wait_until_settled
from mlflow_serving_plugin.cli.quickstart_train import ALIAS, MODEL, STAGE
from mlflow_serving_plugin.cli.scratch import HOST, Scratch

REFERENCES = ("1", "2", STAGE, f"@{ALIAS}", "latest")
"""The references that are scored, as they follow the model's name in a URL."""

COLUMNS = ("sepal length (cm)", "sepal width (cm)", "petal length (cm)", "petal width (cm)")
ROWS = ((5.1, 3.5, 1.4, 0.2), (5.9, 3.0, 5.1, 1.8))

CANONICAL: dict[str, Any] = {"dataframe_split": {"columns": COLUMNS, "data": ROWS}}
LEGACY = [dict(zip(COLUMNS, row, strict=True)) for row in ROWS]
LEGACY_TYPE = "application/json; format=pandas-records"

_SERVER_DEADLINE_S = 300
_LOOK_EVERY_S = 0.2
_SERVER_GRACE_S = 15
_TRAINING_GRACE_S = 2
_WEB_WORKERS = 2
_WORKER_DIED = "Child process ["
_MOST_DEATHS = 4
_CRASH_LINES = 1000


@dataclass(frozen=True, slots=True)
class Score:
    """The answer of one URL."""

    url: str
    version: str
    predictions: list[Any]


class Demo:
    """One run of the quickstart. ``stop`` must be called at the end, also after an error."""

    def __init__(self, made: Scratch, port: int, env: Mapping[str, str]) -> None:
        self.uri = f"http://{HOST}:{port}"
        self.client = ServingClient(self.uri, {})
        self.server = Child(_server_command(made, port), env, made.root / "server.log")
        train = [sys.executable, "-m", "mlflow_serving_plugin.cli.quickstart_train", self.uri]
        self._training = Child(train, env, made.root / "training.log")

    def prepare(self, progress: Progress) -> None:
        """Return when the server runs and serves both versions."""
        self._wait_for_server(progress)
        self._wait_for_training(progress)
        self.client.enable(MODEL, None)
        wait_until_settled(self.client, MODEL, progress, check=self._check_server)

    def score(self) -> list[Score]:
        """Predictions of every reference."""
        return [self._score(reference) for reference in REFERENCES]

    def stop(self) -> None:
        """End both processes and all their children."""
        try:
            self._training.stop(_TRAINING_GRACE_S)
        finally:
            self.server.stop(_SERVER_GRACE_S)

    def _wait_for_server(self, progress: Progress) -> None:
        deadline = time.monotonic() + _SERVER_DEADLINE_S
        progress.show([Step("server", f"starting at {self.uri}"), Step("model", "training two versions")])
        while not self._answers():
            self._check_server()
            self._check_training()
            progress.show([])
            if time.monotonic() > deadline:
                raise CliError(f"The server did not answer within {_SERVER_DEADLINE_S} s.")
            time.sleep(_LOOK_EVERY_S)
        progress.show([Step("server", f"running at {self.uri}", outcome=True)])

    def _wait_for_training(self, progress: Progress) -> None:
        progress.show([Step("model", "registering two versions")])
        while self._check_training() is None:
            self._check_server()
            progress.show([])
            time.sleep(_LOOK_EVERY_S)
        text = f"registered '{MODEL}': version 1 in {STAGE}, version 2 as @{ALIAS}"
        progress.show([Step("model", text, outcome=True)])

    def _answers(self) -> bool:
        try:
            body = requests.get(f"{self.uri}/serving/health", timeout=5).json()
        except (requests.exceptions.RequestException, ValueError):
            return False
        return isinstance(body, dict) and "controller" in body

    def _check_server(self) -> None:
        code = self.server.exit_code()
        if code is not None:
            raise CliError(f"The server exited with exit code {code}.")
        # uvicorn restarts its web workers without end.
        if self.server.log_tail(_CRASH_LINES).count(_WORKER_DIED) >= _MOST_DEATHS:
            raise CliError("The server's web workers exit as soon as they start.")

    def _check_training(self) -> int | None:
        code = self._training.exit_code()
        if code:
            raise CliError(f"Training the model failed:\n{self._training.log_tail()}")
        return code

    def _score(self, reference: str) -> Score:
        url = self.client.scoring_url(MODEL, reference)
        try:
            response = requests.post(url, json=CANONICAL, timeout=60)
        except requests.exceptions.RequestException as error:
            raise CliError(f"{url} did not answer: {type(error).__name__}.") from None
        if not response.ok:
            raise CliError(f"{url} answered {response.status_code}: {response.text[:500]}")
        version = response.headers.get("X-MLflow-Model-Version", "?")
        return Score(url, version, response.json()["predictions"])


def _server_command(made: Scratch, port: int) -> Sequence[str]:
    return [
        *(sys.executable, "-m", "mlflow", "server", "--app-name", "serving"),
        *("--host", HOST, "--port", str(port), "--workers", str(_WEB_WORKERS)),
        *("--backend-store-uri", f"sqlite:///{made.root / 'mlflow.db'}"),
        *("--artifacts-destination", str(made.root / "artifacts")),
    ]
