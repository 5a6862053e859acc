"""A command under a real guard."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys

from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE
from mlflow_serving_plugin.host.processes import session_members, start_stamp
from support import eventually

SLEEP = "import time; time.sleep(600)"


class Guarded:
    """A command under a guard."""

    def __init__(self, root, *command, **changes):
        self.root = root
        self.log = root / "logs" / "1.log"
        self.lease = root / "lease"
        self.lease.touch()
        self.socket = root / "worker.sock"
        config = {
            "worker_id": "abc",
            "log": str(self.log),
            "log_max_bytes": 10_000_000,
            "log_backups": 2,
            "lease": str(self.lease),
            "orphan_grace_s": 60.0,
            "stop_grace_s": 10.0,
            "socket": str(self.socket),
            "memory_limit_mb": None,
            **changes,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(WORKER_PACKAGE), "guard", json.dumps(config), *command],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
        )

    @property
    def pid(self):
        return self.process.pid

    def text(self):
        return self.log.read_text() if self.log.exists() else ""

    def until(self, condition, within_s=30.0):
        return eventually(condition, within_s, tail=self.text)

    def until_said(self, words):
        self.until(lambda: words in self.text())

    def family(self):
        """The pids that a FAMILY printed."""
        # A whole line: print() writes one word after the other.
        line = self.until(lambda: re.search(r"^family (.+)\n", self.text(), re.MULTILINE))
        return [int(word) for word in line[1].split()]

    def until_over(self, within_s=30.0):
        self.until(lambda: self.process.poll() is not None, within_s)

    def clear(self):
        for pid in session_members(self.pid):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def gone(*pids):
    return all(start_stamp(pid) is None for pid in pids)
