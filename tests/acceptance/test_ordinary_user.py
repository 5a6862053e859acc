"""The hostile suite once more, as a user who owns nothing: CI and containers run it as root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from support.shared import RUN_VARIABLE

from mlflow_serving_plugin.backends.isolation import levels

TREE = Path(__file__).parents[2]
TESTS = ("tests/acceptance/test_hostile_models.py", "tests/integration/worker/test_isolation.py")

pytestmark = [
    pytest.mark.matrix,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the sandbox needs Linux"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else"),
    pytest.mark.skipif(bool(levels().namespaces), reason="no namespaces on this machine"),
]


@pytest.mark.parametrize("tests", TESTS)
def test_the_hostile_suite_passes_as_a_user_who_owns_nothing(tests: str) -> None:
    with tempfile.TemporaryDirectory(prefix="mls-") as home:
        Path(home).chmod(0o777)
        # The directory of this run is root's.
        own = {name: value for name, value in os.environ.items() if name != RUN_VARIABLE}
        environ = {**own, "HOME": home, "TMPDIR": home, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(TREE)}
        done = subprocess.run(
            [
                *(sys.executable, str(TREE / "tests" / "support" / "ordinary_user.py")),
                *(sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", tests),
            ],
            cwd=TREE,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr[-2000:]
    # A suite that was skipped has shown nothing.
    assert " passed" in done.stdout.splitlines()[-1], done.stdout[-2000:]
