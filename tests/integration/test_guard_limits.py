"""What a guard holds its command to: no more processes than it may have, files and memory as limited, no core dump."""

from __future__ import annotations

import os
import sys

import psutil
import pytest
from support import command_line
from support.guard import SLEEP, gone

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are counted on Linux only")

TOO_MANY = "more than the 64 that its endpoint's max_processes allows"
DAEMON = f"""
import os
def daemon():
    if os.fork() == 0:
        os.setsid()
        for fd in (0, 1, 2):
            os.close(fd)
        if os.fork() == 0:
            {SLEEP}
        os._exit(0)
    os.wait()
"""
BOMBS = {
    "one by one": f"""
import os
for _ in range(10_000):
    if os.fork() == 0:
        {SLEEP}
{SLEEP}
""",
    # 2 ** 13 processes, if nobody stops them.
    "each by all": f"""
import os
for _ in range(13):
    os.fork()
{SLEEP}
""",
    "daemons, in sessions of their own and without a parent": f"""
{DAEMON}
for _ in range(10_000):
    daemon()
{SLEEP}
""",
}


def left_of(guarded):
    """What names the guard's directory in its command line; the bombs are given it as an argument."""
    return [process for process in psutil.process_iter() if str(guarded.root) in " ".join(command_line(process))]


@pytest.mark.parametrize(
    "bomb",
    [pytest.param(bomb, id=name, marks=[pytest.mark.matrix] * (name == "each by all")) for name, bomb in BOMBS.items()],
)
def test_a_fork_bomb_ends_with_all_that_came_of_it_and_is_said_to_have_been_one(guard, root, bomb):
    guarded = guard(command=[sys.executable, "-S", "-c", bomb, str(root)], max_processes=64)
    guarded.until_over(60)
    assert TOO_MANY in guarded.text()
    guarded.until(lambda: not left_of(guarded))


def test_a_command_with_as_many_processes_as_it_may_have_goes_on(guard):
    guarded = guard(
        f"import os, time\nfor _ in range(63):\n    if os.fork() == 0:\n        {SLEEP}\n"
        "time.sleep(2)\nprint('went on', flush=True)\n" + SLEEP,
        max_processes=64,
    )
    guarded.until_said("went on")
    assert "ending" not in guarded.text()


def test_a_daemon_that_left_the_session_ends_with_the_command(guard):
    guarded = guard(f"{DAEMON}\ndaemon()\nimport subprocess\nprint('family', os.getpid(), flush=True)\n{SLEEP}")
    (command,) = guarded.family()
    # Adopted by the guard: its child beside the command.
    (daemon,) = guarded.until(lambda: [c.pid for c in psutil.Process(guarded.pid).children() if c.pid != command])
    assert os.getsid(daemon) != guarded.pid
    guarded.process.terminate()
    guarded.until_over()
    guarded.until(lambda: gone(command, daemon))


def test_what_the_guard_adopts_is_reaped_and_the_command_s_own_end_is_still_known(guard, root):
    guarded = guard(
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    if os.fork() == 0: time.sleep(0.1)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
        "print('family', os.getpid(), flush=True)\n"
        f"while not os.path.exists({str(root / 'go')!r}): time.sleep(0.05)\n"
        "raise SystemExit(5)"
    )
    family = guarded.family()
    guarded.until(lambda: [child.pid for child in psutil.Process(guarded.pid).children()] == family)
    (root / "go").touch()
    guarded.until_over()
    assert guarded.text().endswith("worker abc ended, exit code 5\n")


def test_the_command_may_open_no_more_files_than_it_is_allowed_and_dumps_no_core(guard):
    guarded = guard(
        "import resource as r\n"
        "print('files', r.getrlimit(r.RLIMIT_NOFILE), 'core', r.getrlimit(r.RLIMIT_CORE), flush=True)\n"
        "files = [open('/dev/null') for _ in range(100)]",
        max_open_files=64,
    )
    guarded.until_over()
    assert "files (64, 64) core (0, 0)" in guarded.text()
    assert "Too many open files" in guarded.text()
