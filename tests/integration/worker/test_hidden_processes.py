"""The server's own processes give nothing away to other processes of the same user, such as an open model."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_DUMPABLE is Linux's"),
    pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user"),
]
NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "capture_output": True}
PROGRAM = f"""
import os, sys
sys.path.insert(0, {str(WORKER_PACKAGE.parent)!r})
from worker.process import PR_SET_DUMPABLE, hide_from_other_processes, prctl
prctl(PR_SET_DUMPABLE, 1)
os.setgroups([])
os.setgid({NOBODY})
os.setuid({NOBODY})
# As in a process that this user has started: the kernel hides one that has changed its user.
prctl(PR_SET_DUMPABLE, 1)
if "hidden" in sys.argv:
    hide_from_other_processes()
print("up", flush=True)
sys.stdin.readline()
print(len(os.listdir("/proc/self/fd")) > 2, bool(open("/proc/self/maps").read()))
"""


@pytest.mark.parametrize("state", ["open", "hidden"])
def test_another_process_of_the_same_user_reads_a_process_only_until_it_hides(state):
    with subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", PROGRAM, state],
        env={"SECRET": "s3cret"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "up\n"
        for what in ("environ", "maps", "fd/0"):
            tool = ["readlink"] if what == "fd/0" else ["cat"]
            done = subprocess.run([*tool, f"/proc/{process.pid}/{what}"], check=False, **AS_NOBODY)
            assert bool(done.stdout) is (state == "open"), (what, done)
        # What a process needs of itself stays.
        assert process.communicate("\n", timeout=30)[0] == "True True\n"
