"""Ray Serve: one replica that batches."""

from __future__ import annotations

from pathlib import Path

from comparison.launch import Launched
from comparison.peers.base import MAX_BATCH, MAX_WAIT_S, OneModelPeer
from comparison.samples import Sample

_APP = Path(__file__).parent / "apps" / "ray_app.py"
_ONGOING = 512


class RayServe(OneModelPeer):
    """Its default of 5 ongoing requests a replica would keep batches at 5: raised above the connections used."""

    distributions = ("ray",)
    packages = ("ray[serve]",)
    venv = "ray"
    settings = (
        f"max_batch_size={MAX_BATCH}, batch_wait_timeout_s={MAX_WAIT_S}, max_ongoing_requests={_ONGOING}, 1 replica"
    )

    def command(self, sample: Sample, launched: Launched) -> tuple[list[str], dict[str, str]]:
        variables = {
            "APP_MODEL": str(sample.directory),
            "APP_PORT": str(launched.port),
            "APP_TEMP": str(launched.root / "ray"),
            "APP_MAX_BATCH": str(MAX_BATCH),
            "APP_MAX_WAIT_S": str(MAX_WAIT_S),
            "APP_ONGOING": str(_ONGOING),
        }
        return [str(self.python), str(_APP)], variables

    def url(self, sample: Sample, launched: Launched) -> str:
        return f"http://127.0.0.1:{launched.port}/"
