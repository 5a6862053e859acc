"""BentoML with adaptive batching."""

from __future__ import annotations

import json
from pathlib import Path

from comparison.dialects import Rows
from comparison.launch import Launched
from comparison.peers.base import MAX_BATCH, OneModelPeer
from comparison.samples import Sample

_APP = Path(__file__).parent / "apps" / "bento_service.py"
_MAX_ROWS = MAX_BATCH * 100
_DEADLINE_MS = 60_000


class BentoML(OneModelPeer):
    """``max_latency_ms`` is no wait but a deadline, past which requests get 503: left at BentoML's default.

    ``max_batch_size`` counts rows, not requests, and a larger request is cut into pieces: as many rows as the other
    peers' batches of 64 requests can have.
    """

    distributions = ("bentoml",)
    packages = ("bentoml",)
    venv = "bentoml"
    dialect = Rows()
    settings = f"batchable=True, max_batch_size={_MAX_ROWS}, max_latency_ms={_DEADLINE_MS}, workers=1"

    def command(self, sample: Sample, launched: Launched) -> tuple[list[str], dict[str, str]]:
        variables = {
            "APP_MODEL": str(sample.directory),
            "APP_COLUMNS": json.dumps(sample.columns),
            "APP_MAX_BATCH": str(_MAX_ROWS),
            "APP_DEADLINE_MS": str(_DEADLINE_MS),
            "BENTOML_HOME": str(launched.root / "bentoml"),
        }
        command = [str(self.python.parent / "bentoml"), "serve", f"{_APP.stem}:Model"]
        command += ["--working-dir", str(_APP.parent), "--host", "127.0.0.1", "--port", str(launched.port)]
        return command, variables

    def url(self, sample: Sample, launched: Launched) -> str:
        return f"http://127.0.0.1:{launched.port}/predict"
