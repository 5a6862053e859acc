"""What a process is left with."""

from __future__ import annotations

import subprocess
import sys

HIGH = """
import os, sys
from mlflow_serving_plugin.worker.process import close_inherited
os.dup2(os.open("/dev/null", os.O_RDONLY), 3000)
close_inherited()
left = []
for fd in range(3, 4000):
    try:
        os.fstat(fd)
        left.append(fd)
    except OSError:
        pass
print(left)
"""


def test_files_with_high_numbers_are_closed_too():
    done = subprocess.run([sys.executable, "-c", HIGH], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
