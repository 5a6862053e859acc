"""``mlflow-serving doctor`` on a server, as another machine runs it."""

from __future__ import annotations

import json
import os
from typing import Any

from click.testing import CliRunner

from mlflow_serving_plugin.cli.main import main


def doctor_of(url: str, *options: str, **environ: str) -> list[dict[str, Any]]:
    """The findings about the server at a URL."""
    none = {name: None for name in os.environ if name.startswith("MLFLOW_")}
    command = ["doctor", "--remote", "--json", "--tracking-uri", url, *options]
    done = CliRunner().invoke(main, command, env=none | environ)
    report = json.loads(done.stdout)
    assert done.exit_code == (1 if report["status"] == "error" else 0), done.output
    return report["checks"]
