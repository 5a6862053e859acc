"""What README and tutorial tell people to type does what they say, as it stands there but for the server's address."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.server import TrackingServer

ROOT = Path(__file__).parents[2]
DEFAULT = "http://localhost:5000"


def block_with(page: str, text: str) -> str:
    """The only block of a page that holds the text."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", (ROOT / page).read_text(), re.DOTALL | re.MULTILINE)
    (found,) = [block for block in blocks if text in block]
    return found


def run(server: TrackingServer, *command: str) -> str:
    """What a documented program or shell block prints; the command's errors fail the test."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    said = subprocess.run(
        [part.replace(DEFAULT, server.url) for part in command],
        # MLflow would load the model in a process of its own, only to find out what it imports.
        env={
            **os.environ,
            "PATH": path,
            "MLFLOW_TRACKING_URI": server.url,
            "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert said.returncode == 0, f"{said.stdout}\n{said.stderr}\n{server.tail()}"
    return said.stdout


@pytest.fixture(scope="module")
def flowers(plain: TrackingServer) -> TrackingServer:
    """The server, with the model that the tutorial logs and nothing served of it."""
    run(plain, sys.executable, "-c", block_with("docs/tutorial.md", "log_model"))
    return plain


def test_the_readme_s_commands_lead_to_a_prediction(flowers: TrackingServer) -> None:
    out = run(flowers, "sh", "-ec", block_with("README.md", "--wait"))
    assert "Ready" in out
    assert "Serving is on, for " in flowers.log.read_text()
    assert json.loads(out.splitlines()[-1]) == {"predictions": [0]}


def test_the_tutorial_s_commands_lead_to_predictions(flowers: TrackingServer) -> None:
    run(flowers, "sh", "-ec", block_with("docs/tutorial.md", "--wait"))
    assert json.loads(run(flowers, "sh", "-ec", block_with("docs/tutorial.md", "curl"))) == {"predictions": [0, 2]}
    assert json.loads(run(flowers, "sh", "-ec", block_with("docs/how-to/clients.md", "curl"))) == {"predictions": [0]}
    rest = block_with("docs/tutorial.md", "disable").replace(" --follow", "")
    assert "Serving is disabled on 'flowers'." in run(flowers, "sh", "-ec", rest)
