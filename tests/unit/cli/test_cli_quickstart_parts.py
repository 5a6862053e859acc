import contextlib
import signal
import socket
import sys
import time

import psutil
import pytest
from rich.console import Console

from mlflow_serving_plugin.backends.records import WorkerRecord, write_record
from mlflow_serving_plugin.cli import quickstart_demo
from mlflow_serving_plugin.cli.children import Child
from mlflow_serving_plugin.cli.errors import CliError
from mlflow_serving_plugin.cli.progress import Progress
from mlflow_serving_plugin.cli.quickstart_demo import Demo
from mlflow_serving_plugin.cli.scratch import children_environment, choose_port, scratch, without_proxy
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.processes import start_stamp

FAMILY = """
import signal, subprocess, sys, time
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print("up", child.pid, flush=True)
time.sleep(600)
"""


def until(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"{what} did not happen within {seconds} s")


def gone(pid):
    return start_stamp(pid) is None


@pytest.mark.parametrize("manner", ["polite", "stubborn"])
def test_stopping_a_child_leaves_nothing_of_its_session(tmp_path, manner):
    child = Child([sys.executable, "-c", FAMILY, manner], {}, tmp_path / "log")
    try:
        line = until(lambda: next((x for x in child.log_tail().splitlines() if x.startswith("up")), None), "the start")
        grandchild = int(line.split()[1])
        parent = psutil.Process(grandchild).ppid()
        assert child.exit_code() is None
    finally:
        child.stop(grace_s=0.3)
    assert gone(parent) and gone(grandchild)
    assert child.exit_code() == (-signal.SIGTERM if manner == "polite" else -signal.SIGKILL)


def test_a_childs_output_is_kept_and_its_end_shown(tmp_path):
    child = Child([sys.executable, "-c", "for i in range(100): print('line', i)"], {}, tmp_path / "log")
    try:
        until(lambda: child.exit_code() is not None, "the end")
        assert child.log_tail(2) == "line 98\nline 99"
    finally:
        child.stop(grace_s=1)


def test_a_temporary_directory_is_removed_even_after_a_failure():
    with contextlib.suppress(ValueError), scratch(None) as made:
        (made.root / "file").write_text("x")
        raise ValueError
    assert not made.root.exists()
    assert not made.state.sockets.exists()


def test_a_named_directory_stays(tmp_path):
    with scratch(tmp_path / "a" / "demo") as made:
        (made.root / "file").write_text("x")
    assert (made.root / "file").exists()


def test_a_directory_that_cannot_be_had_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CliError, match="cannot be used"), scratch(tmp_path / "file" / "x"):
        pass


def test_workers_that_a_killed_server_left_are_ended(tmp_path):
    with scratch(tmp_path) as made:
        worker = Child([sys.executable, "-c", "import time; time.sleep(600)"], {}, tmp_path / "log")
        pid = worker._process.pid
        record = WorkerRecord(
            worker_id="w",
            key=EntityKey("e", "1"),
            fingerprint="f",
            pid=pid,
            stamp=start_stamp(pid),
            protocol="http",
            address="s",
            log="l",
            started_ms=0,
        )
        write_record(made.state.workers, record)
    try:
        until(lambda: worker.exit_code() == -signal.SIGKILL, "the worker's end")
    finally:
        worker.stop(grace_s=0)


def test_a_taken_port_is_told_before_anything_starts():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(CliError, match=f"Port {port} is already in use"):
            choose_port(port)
        assert choose_port(None) != port
    assert choose_port(port) == port


def test_another_port_is_taken_when_5000_is_not_free(monkeypatch):
    monkeypatch.setattr("mlflow_serving_plugin.cli.scratch._is_free", lambda port: False)
    assert choose_port(None) > 1023


def test_children_do_not_inherit_the_users_own_mlflow(tmp_path):
    environ = {
        "PATH": "/bin",
        "MLFLOW_TRACKING_URI": "http://prod",
        "MLFLOW_BACKEND_STORE_URI": "postgresql://prod",
        "_MLFLOW_STATIC_PREFIX": "/x",
        "MLFLOW_SERVING_DATABASE_URI": "postgresql://prod",
        "MLFLOW_SERVING_TICK_INTERVAL_S": "0.5",
    }
    with scratch(tmp_path) as made:
        env = children_environment(environ, made)
    assert not [name for name, value in env.items() if "prod" in value or name.startswith("_MLFLOW")]
    assert env["PATH"] == "/bin"
    assert env["MLFLOW_SERVING_TICK_INTERVAL_S"] == "0.5"
    assert env["MLFLOW_SERVING_STATE_DIR"] == str(tmp_path / "serving")
    assert env["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_setting_that_the_server_would_refuse_is_told_at_once(tmp_path):
    with scratch(tmp_path) as made, pytest.raises(CliError, match="MLFLOW_SERVING_DEBUG"):
        children_environment({"MLFLOW_SERVING_DEBUG": "maybe"}, made)


def test_requests_to_this_host_pass_by_a_proxy():
    assert without_proxy({"NO_PROXY": "a"})["no_proxy"] == "a,127.0.0.1"
    assert without_proxy({})["NO_PROXY"] == "127.0.0.1"


@pytest.mark.parametrize(
    "server, message",
    [
        ("print('boom'); raise SystemExit(3)", "exited with exit code 3"),
        ("print('Child process [1] died\\n' * 4, flush=True); import time; time.sleep(600)", "exit as soon as"),
    ],
)
def test_a_server_that_does_not_start_is_told_and_leaves_nothing(tmp_path, monkeypatch, server, message):
    monkeypatch.setattr(quickstart_demo, "_server_command", lambda made, port: [sys.executable, "-c", server])
    with scratch(tmp_path) as made:
        demo = Demo(made, 1, children_environment({}, made))
        try:
            with Progress(Console(quiet=True)) as progress, pytest.raises(CliError, match=message):
                demo.prepare(progress)
            assert demo.server.log_tail()
        finally:
            demo.stop()
    assert demo.server.exit_code() is not None
