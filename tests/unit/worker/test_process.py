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
import os, threading
from mlflow_serving_plugin.worker.process import start_in_background, stay_in_background
os.setsid()
config = {"priority": "PRIORITY"}
start_in_background(config)
niceness, done = os.nice(0), threading.Event()
before = threading.Thread(target=done.wait)
before.start()
stay_in_background(config)
after = threading.Thread(target=done.wait)
after.start()
print(niceness, *{os.sched_getscheduler(thread.native_id) == os.SCHED_IDLE for thread in (before, after)})
done.set()
"""


@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux only")
@pytest.mark.parametrize(("priority", "found"), [("background", "10 True\n"), ("normal", "0 False\n")])
def test_a_process_in_the_background_gives_way_with_all_of_its_threads(priority, found):
    if os.nice(0):
        pytest.skip("the tests run with a niceness of their own")
    code = BACK.replace("PRIORITY", priority)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == found
