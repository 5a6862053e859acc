"""What every command of ``mlflow-serving`` imports before it does anything."""

from __future__ import annotations

import json
import subprocess
import sys

SLOW = ("mlflow", "sqlalchemy", "alembic", "pandas", "numpy", "flask", "pyarrow", "sklearn")

_PROGRAM = f"""
import json, sys
import mlflow_serving_plugin.cli.main
print(json.dumps([name for name in {SLOW!r} if name in sys.modules]))
"""


def test_a_command_imports_nothing_that_takes_seconds() -> None:
    said = subprocess.check_output([sys.executable, "-c", _PROGRAM], text=True, timeout=120)
    assert json.loads(said) == []
