"""What a process is left with."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

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


BACK = """
import os, subprocess, sys
from mlflow_serving_plugin.worker.process import give_way
os.setsid()
give_way({"priority": "PRIORITY"})
print(subprocess.check_output([sys.executable, "-S", "-c", "import os; print(os.nice(0))"], text=True), end="")
"""


@pytest.mark.parametrize(("priority", "niceness"), [("background", 10), ("normal", 0)])
def test_a_process_in_the_background_gives_way_with_all_that_the_process_starts(priority, niceness):
    code = BACK.replace("PRIORITY", priority)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == min(19, os.nice(0) + niceness)
