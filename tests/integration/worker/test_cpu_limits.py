"""``cpus`` of an endpoint, where no control group is delegated: the worker is kept to as many CPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="CPU affinity needs Linux")
HERE = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def cpus_of_a_worker(**config: object) -> list[int]:
    """The CPUs of a process that has been limited, and then of one that this process has started."""
    show = "import json, os; print(json.dumps(sorted(os.sched_getaffinity(0))))"
    code = (
        f"import subprocess, sys; sys.path.insert(0, {str(WORKER_PACKAGE.parent)!r})\n"
        f"from worker.process import limit\nlimit({config!r})\n"
        f"subprocess.run([sys.executable, '-I', '-S', '-c', {show!r}], check=True)"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    return list(json.loads(done.stdout))


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"cpus": 1}, HERE[:1]),
        ({"cpus": 0.5, "first_cpu": 1}, (HERE * 2)[1:2]),
        ({"cpus": 1, "first_cpu": len(HERE) + 1}, (HERE * 2)[1:2]),
        ({"cpus": 1024, "first_cpu": 3}, HERE),
        ({"cpus": None}, HERE),
        ({"cpus": 1, "cpu_group": True}, HERE),
    ],
)
def test_a_worker_and_what_it_starts_run_on_as_many_cpus_as_its_endpoint_allows(config, wanted):
    assert cpus_of_a_worker(**config) == wanted
