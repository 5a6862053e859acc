"""This product, through the tracking server: ``mlflow server --app-name serving``."""

from __future__ import annotations

import contextlib
import json
import logging
import statistics
import time
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlencode

import psutil

from comparison.launch import Launched, StartError, private_bytes
from comparison.peers.base import Peer, Session, Target
from comparison.requests_once import answers, post
from comparison.samples import Sample

_READY_S = 180.0
_API = "/api/2.0/mlflow/endpoints"


class Product(Peer):
    """One web worker, SQLite, everything else as it comes."""

    distributions = ("mlflow-serving-plugin", "uvicorn", "uvloop", "httptools", "orjson")

    def __init__(self, key: str, title: str, *, runtime: str, batching: str) -> None:
        super().__init__(key, title)
        self.config = {"runtime": runtime, "batching": batching}
        self.settings = "mlflow server --app-name serving --workers 1, SQLite"

    def session(self) -> Session:
        return ProductSession(self)


class ProductSession(Session):
    """One tracking server that all models are registered with."""

    def __init__(self, peer: Product) -> None:
        self._peer = peer
        self._launched = Launched()
        self._sources: dict[str, tuple[str, str]] = {}
        self._running = False

    def serve(self, sample: Sample) -> Target:
        if not self._running:
            self._start()
        self._register(sample)
        url, body = self._url(sample, 1), self._peer.dialect.encode(sample, sample.head(1))
        began = time.monotonic()
        self._post("enable", {"registered_model_name": sample.name, "config": self._peer.config})
        self._wait_ready(sample, 1)
        self._launched.wait_until(lambda: answers(url, body))
        seconds = time.monotonic() - began
        gateway = self._launched.listeners()
        return Target(url, self._launched, seconds, gateway, self._serving(gateway, sample))

    def further_versions(self, sample: Sample, count: int) -> dict[str, Any] | None:
        """Register versions after the first: seconds until READY, and private memory after some predictions."""
        body, seconds, private = self._peer.dialect.encode(sample, sample.head(1)), [], []
        for number in range(2, count + 2):
            began = time.monotonic()
            self._create_version(sample)
            self._wait_ready(sample, number)
            seconds.append(time.monotonic() - began)
            for _ in range(20):
                post(self._url(sample, number), body)
            private.append(private_bytes(self._workers(sample, number)) / 2**20)
        return {
            "count": count,
            "ready_s": statistics.median(seconds),
            "private_mb": statistics.median(private),
            "all_ready_s": seconds,
            "all_private_mb": private,
        }

    def close(self) -> None:
        self._launched.close()

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self._launched.port}"

    def _url(self, sample: Sample, version: int) -> str:
        return f"{self._base}/model/{sample.name}/{version}/invocations"

    def _start(self) -> None:
        root = self._launched.root
        command = [str(self._peer.python), "-m", "mlflow", "server", "--app-name", "serving", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self._launched.port)]
        command += [
            "--backend-store-uri",
            f"sqlite:///{root}/mlflow.db",
            "--artifacts-destination",
            f"{root}/artifacts",
        ]
        self._launched.start(command, {"MLFLOW_SERVING_STATE_DIR": str(root / "state")}, self._peer.python)
        self._launched.wait_until(self._healthy)
        # MLflow starts several job consumers beside the web server, which are busy for some 15 s.
        self._launched.wait_calm()
        self._running = True

    def _healthy(self) -> bool:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self._base}/health", timeout=5) as response:
            return bool(response.status == 200)
        return False

    def _register(self, sample: Sample) -> None:
        client = self._client()
        client.create_registered_model(sample.name)
        run = client.create_run("0")
        client.log_artifacts(run.info.run_id, str(sample.directory), "model")
        self._sources[sample.name] = (f"{run.info.artifact_uri}/model", run.info.run_id)
        self._create_version(sample)

    def _create_version(self, sample: Sample) -> None:
        source, run_id = self._sources[sample.name]
        self._client().create_model_version(sample.name, source, run_id=run_id)

    def _client(self) -> Any:
        from mlflow import MlflowClient

        logging.getLogger("mlflow").setLevel(logging.ERROR)
        return MlflowClient(tracking_uri=self._base, registry_uri=self._base)

    def _wait_ready(self, sample: Sample, version: int) -> None:
        self._launched.wait_until(lambda: self._state(sample, version) == "READY", _READY_S)

    def _state(self, sample: Sample, version: int) -> str:
        found = self._get("list-versions", {"registered_model_name": sample.name})["endpoint_versions"]
        states = {v["endpoint_version_name"]: v["state"].removeprefix("VERSION_STATE_") for v in found}
        state = states.get(str(version), "unknown")
        if state == "FAILED":
            raise StartError(f"version {version} of {sample.name} failed: {self._launched.last_words()}")
        return state

    def _workers(self, sample: Sample, version: int) -> list[psutil.Process]:
        """A version's replicas with their children."""
        fields = {"registered_model_name": sample.name, "endpoint_version_name": str(version)}
        found = []
        for replica in self._get("get-version-replicas", fields)["replicas"]:
            worker = psutil.Process(replica["pid"])
            found += [worker, *worker.children(recursive=True)]
        return found

    def _serving(self, gateway: list[psutil.Process], sample: Sample) -> list[psutil.Process]:
        """The web worker, the model's worker and the zygote that it was forked from; not MLflow's job runners."""
        workers, ours = self._workers(sample, 1), self._launched.processes()
        parents = [parent for worker in workers if (parent := worker.parent()) in ours]
        return list(dict.fromkeys([*gateway, *workers, *parents]))

    def _get(self, action: str, fields: dict[str, str]) -> Any:
        return self._call(urllib.request.Request(f"{self._base}{_API}/{action}?{urlencode(fields)}"))

    def _post(self, action: str, fields: dict[str, Any]) -> Any:
        headers = {"Content-Type": "application/json"}
        return self._call(
            urllib.request.Request(f"{self._base}{_API}/{action}", json.dumps(fields).encode(), headers, method="POST")
        )

    def _call(self, request: urllib.request.Request) -> Any:
        try:
            with urllib.request.urlopen(request, timeout=60) as response:
                return json.loads(response.read())
        except urllib.error.HTTPError as error:
            raise StartError(f"{request.full_url} answered {error.code}: {error.read()[:200]!r}") from error
