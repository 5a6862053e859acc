"""``mlflow models serve``, called directly: the reference of all ratios."""

from __future__ import annotations

from comparison.launch import Launched
from comparison.peers.base import OneModelPeer
from comparison.samples import Sample


class Stock(OneModelPeer):
    """As MLflow ships it: uvicorn, one worker, no new environment."""

    distributions = ("mlflow", "uvicorn")
    settings = "--env-manager local --workers 1"

    def command(self, sample: Sample, launched: Launched) -> tuple[list[str], dict[str, str]]:
        command = [str(self.python), "-m", "mlflow", "models", "serve", "--model-uri", str(sample.directory)]
        command += ["--host", "127.0.0.1", "--port", str(launched.port), *self.settings.split()]
        return command, {}

    def url(self, sample: Sample, launched: Launched) -> str:
        return f"http://127.0.0.1:{launched.port}/invocations"
