"""The guard: real commands as heads of sessions, their logs, their lease and their end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import psutil
import pytest
from support import eventually
from support.guard import SLEEP, gone

from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE
from mlflow_serving_plugin.host.processes import session_members

STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"
)
# A server with a child of its own, which says both numbers.
FAMILY = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", {SLEEP!r}])
print("family", os.getpid(), child.pid, flush=True)
child.wait()
"""
# The same, but the child is deaf to SIGTERM and its parent leaves it alone.
STUBBORN_FAMILY = f"""
import os, subprocess, sys
child = subprocess.Popen([sys.executable, "-S", "-c", {STUBBORN!r}])
print("family", os.getpid(), child.pid, flush=True)
"""


def test_what_a_command_prints_is_in_the_log_between_its_start_and_end(guard):
    guarded = guard("import sys; print('out'); print('err', file=sys.stderr)")
    guarded.until_over()
    lines = guarded.text().splitlines()
    assert "worker abc started" in lines[0]
    assert sorted(lines[1:3]) == ["err", "out"]
    assert "worker abc ended" in lines[3]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit(3)", "exit code 3"),
        ("pass", "exit code 0"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import os; os.abort()", "killed by SIGABRT"),
    ],
)
def test_how_the_command_ended_is_in_the_log(guard, code, said):
    guarded = guard(code)
    guarded.until_over()
    assert guarded.text().endswith(f"worker abc ended, {said}\n")


def test_a_command_that_cannot_be_started_is_told_of(guard):
    guarded = guard(command=["/no/such/program"])
    guarded.until_over()
    assert guarded.process.returncode == 1
    assert "could not start: [Errno 2] No such file or directory: '/no/such/program'" in guarded.text()


def test_sigterm_ends_the_command_and_all_its_children(guard):
    guarded = guard(FAMILY)
    family = guarded.family()
    guarded.process.terminate()
    guarded.until_over()
    guarded.until(lambda: gone(*family))


def test_the_command_gets_to_finish_within_the_grace(guard):
    guarded = guard(
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('last words'), sys.exit(0)))\n"
        "print('up', flush=True)\n"
        "time.sleep(600)"
    )
    guarded.until_said("up")
    guarded.process.terminate()
    guarded.until_over()
    assert "last words" in guarded.text()
    assert "killed" not in guarded.text()


def test_a_command_that_does_not_end_within_the_grace_is_killed(guard):
    guarded = guard(STUBBORN, stop_grace_s=0.3)
    guarded.until_said("deaf")
    command = [pid for pid in session_members(guarded.pid) if pid != guarded.pid]
    guarded.process.terminate()
    guarded.until_over()
    guarded.until(lambda: gone(*command))
    assert "killed: it did not end within 0.3 s" in guarded.text()


def test_a_child_that_outlives_its_parent_is_ended_with_it(guard):
    guarded = guard(STUBBORN_FAMILY, stop_grace_s=0.3)
    family = guarded.family()
    guarded.until_over()
    guarded.until(lambda: gone(*family))


def test_a_child_that_closed_its_output_goes_when_the_rest_does(guard):
    silent = f"import os; [os.close(fd) for fd in (1, 2)]; {SLEEP}"
    guarded = guard(
        f"import subprocess, sys; child = subprocess.Popen([sys.executable, '-S', '-c', {silent!r}]); "
        "print('family', child.pid, flush=True)"
    )
    (child,) = guarded.family()
    guarded.until_over()
    guarded.until(lambda: gone(child))


def test_a_child_in_a_process_group_of_its_own_is_ended_too(guard):
    guarded = guard(
        "import os, subprocess, sys\n"
        f"child = subprocess.Popen([sys.executable, '-S', '-c', {STUBBORN!r}], preexec_fn=lambda: os.setpgid(0, 0))\n"
        "print('family', os.getpid(), child.pid, flush=True)\n"
        "child.wait()",
        stop_grace_s=0.3,
    )
    family = guarded.family()
    guarded.until_said("deaf")
    guarded.process.terminate()
    guarded.until_over()
    guarded.until(lambda: gone(*family))


def test_the_command_goes_when_the_guard_is_killed(guard):
    guarded = guard(STUBBORN)
    guarded.until_said("deaf")
    (command,) = [pid for pid in session_members(guarded.pid) if pid != guarded.pid]
    guarded.process.kill()
    guarded.process.wait()
    guarded.until(lambda: gone(command))


def test_the_socket_is_removed_at_the_end(guard):
    guarded = guard(SLEEP)
    guarded.until_said("started")
    guarded.socket.touch()
    guarded.process.terminate()
    guarded.until_over()
    assert not guarded.socket.exists()


def test_without_a_controller_the_command_ends_after_the_grace(guard):
    guarded = guard(FAMILY, orphan_grace_s=0.5)
    family = guarded.family()
    guarded.until_over()
    guarded.until(lambda: gone(*family))
    assert "no controller for 0.5 s" in guarded.text()


def test_a_controller_that_was_never_there_counts_as_none(guard, root):
    guarded = guard(SLEEP, orphan_grace_s=0.5, lease=str(root / "no lease"))
    guarded.until_over()
    assert "no controller" in guarded.text()


def test_a_renewed_lease_keeps_the_command_beyond_the_grace(guard):
    guarded = guard(
        "import time; start = time.monotonic()\n"
        "while time.monotonic() - start < 2: time.sleep(0.1)\n"
        "print('two seconds', flush=True)\n"
        f"{SLEEP}",
        orphan_grace_s=0.8,
    )

    def renewed_until_said():
        os.utime(guarded.lease)
        return "two seconds" in guarded.text()

    guarded.until(renewed_until_said)
    assert guarded.process.poll() is None
    guarded.until_over()
    assert "no controller for 0.8 s" in guarded.text()


def test_a_lease_of_another_time_is_not_taken_for_an_old_one(guard):
    # The wall clock was set back, or the file system's is another: only that it changes counts.
    guarded = guard("print('up', flush=True)\n" + SLEEP, orphan_grace_s=30.0)
    os.utime(guarded.lease, (1, 1))
    guarded.until_said("up")
    assert guarded.process.poll() is None


def test_the_log_is_rotated_and_the_oldest_is_dropped(guard):
    guarded = guard(
        "import sys\nfor n in range(8000): print(f'{n:04d} ' + 'x' * 95, flush=True)",
        log_max_bytes=10_000,
        log_backups=2,
    )
    guarded.until_over()
    assert sorted(path.name for path in guarded.log.parent.iterdir()) == ["1.log", "1.log.1", "1.log.2", "1.log.lock"]
    kept = "".join((guarded.log.parent / name).read_text() for name in ("1.log.2", "1.log.1", "1.log"))
    numbers = [int(line[:4]) for line in kept.splitlines() if "x" * 95 in line and line[:4].isdigit()]
    assert numbers[-1] == 7999
    # Nothing is missing between the oldest that is kept and the newest, and nothing is out of order.
    assert numbers == list(range(numbers[0], 8000))


def test_without_backups_only_the_newest_log_is_kept(guard):
    guarded = guard("for n in range(8000): print('x' * 95, flush=True)", log_max_bytes=10_000, log_backups=0)
    guarded.until_over()
    assert sorted(path.name for path in guarded.log.parent.iterdir()) == ["1.log", "1.log.lock"]


WRITER = """
import importlib.util, os, sys
package, path, name = sys.argv[1:]
spec = importlib.util.spec_from_file_location("w", package + "/__init__.py", submodule_search_locations=[package])
module = importlib.util.module_from_spec(spec)
sys.modules["w"] = module
spec.loader.exec_module(module)
from w.logs import RotatedLog
log = RotatedLog({"log": path, "log_max_bytes": 5000, "log_backups": 1000})
for number in range(1000):
    log.write(f"{name} {number:04d} {'x' * 40}\\n".encode())
"""


def test_two_writers_of_one_log_lose_nothing_when_it_is_rotated(root):
    path = root / "logs" / "1.log"
    writers = [
        subprocess.Popen([sys.executable, "-I", "-S", "-c", WRITER, str(WORKER_PACKAGE), str(path), name])
        for name in "ab"
    ]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    logs = [file for file in path.parent.iterdir() if not file.name.endswith(".lock")]
    assert len(logs) > 5
    lines = [line for file in logs for line in file.read_text().splitlines()]
    assert sorted(line[:6] for line in lines) == sorted(f"{name} {n:04d}" for name in "ab" for n in range(1000))


def test_a_log_that_cannot_be_written_does_not_end_the_command(guard, root):
    (root / "logs").touch()  # where the directory should be
    guarded = guard(f"import os\nopen({str(root / 'alive')!r}, 'w').close()\n{SLEEP}")
    eventually((root / "alive").exists)
    assert guarded.process.poll() is None


def test_a_command_that_prints_without_end_is_neither_blocked_nor_kept_from_stopping(guard):
    guarded = guard("while True: print('x' * 1000)", log_max_bytes=50_000, log_backups=1)
    guarded.until((guarded.log.parent / "1.log.1").exists)
    guarded.process.terminate()
    guarded.until_over()
    assert sum(path.stat().st_size for path in guarded.log.parent.iterdir()) < 500_000


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts mappings on Linux only")
def test_a_command_over_its_memory_limit_fails_and_says_so(guard):
    guarded = guard("data = bytearray(400 * 1024 * 1024)", memory_limit_mb=200)
    guarded.until_over()
    assert "MemoryError" in guarded.text()


def test_a_guard_costs_little_memory(guard):
    guarded = guard("print('up', flush=True)\n" + SLEEP)
    guarded.until_said("up")
    memory = psutil.Process(guarded.pid).memory_full_info()
    assert memory.uss < 20 * 1024 * 1024


def test_the_guard_hands_no_descriptor_of_its_own_to_the_command(guard):
    guarded = guard("import os; print('open', sorted(os.listdir('/proc/self/fd'), key=int)[:-1], flush=True)")
    guarded.until_over()
    assert "open ['0', '1', '2']" in guarded.text()


@pytest.mark.parametrize("signals", [3])
def test_being_asked_again_to_stop_changes_nothing(guard, signals):
    guarded = guard(STUBBORN, stop_grace_s=0.5)
    guarded.until_said("deaf")
    for _ in range(signals):
        threading.Thread(target=guarded.process.terminate).start()
    guarded.until_over()
    assert guarded.text().count("killed: it did not end") == 1
