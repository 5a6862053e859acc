"""The zygote: forks, says how forks ended, survives nonsense, keeps workers apart."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest
from support import eventually
from support.preloaded import as_in_production
from worker_processes import JSON, ask, code_model, value, worker_config

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec, worker_arguments
from mlflow_serving_plugin.backends.native import Zygotes
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import session_members, start_stamp
from mlflow_serving_plugin.links.frames_connection import FrameConnection
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.wire import WireError


class World:
    """A state directory with its zygote."""

    def __init__(self, root, code):
        self.paths = StatePaths.create(root / "state")
        self.paths.lease.touch()
        self.zygotes = Zygotes(Settings(), self.paths)
        self.code = code
        self.pids = []

    def fork(self, name, model=None, environment=None, threads=None, **limits):
        """Fork a worker; its pid and a connection to it."""
        model = model or self.code
        own = {"environment": environment or {}, "threads": threads, "sandbox": "off"}
        settings = WorkerSettings(env_manager="local", request_timeout_s=60.0, **own)
        log = self.paths.logs / "e" / f"{name}.log"
        spec = WorkerSpec(EntityKey("e", "1"), "f", model, log, settings, None)
        address = self.paths.sockets / f"{name}.sock"
        common = worker_config(self.paths.root, model, worker_id=name, log=str(log))
        told = {key: common[key] for key in COMMON} | worker_arguments(settings) | limits
        pid = self.zygotes.fork(spec, told, address)
        self.pids.append(pid)
        return pid, eventually(lambda: connected(address), 30, lambda: self.log(name))

    def log(self, name):
        path = self.paths.logs / "e" / f"{name}.log"
        return path.read_text() if path.exists() else ""

    @property
    def address(self):
        (address,) = self.paths.sockets.glob("zygote-*")
        return address

    def ask(self, data):
        """What the zygote answers, empty when it hangs up."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(20)
            connection.connect(str(self.address))
            with contextlib.suppress(OSError):
                connection.sendall(data)
                connection.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):
                return connection.recv(4096)
            return b""

    @property
    def pid(self):
        return json.loads(self.ask(b"{}\n"))["pid"]

    def end(self):
        for pid in self.pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.zygotes.retain(())


MAKES_USER_NAMESPACES = 1 << 31
"""CAP_SETFCAP."""

COMMON = ("worker_id", "log", "log_max_bytes", "log_backups", "lease", "orphan_grace_s", "stop_grace_s")


def connected(address):
    try:
        connection = FrameConnection(str(address), 5.0)
        connection.ping(5.0)
    except (OSError, WireError):
        return None
    return connection


@pytest.fixture(scope="module")
def world(tmp_path_factory, code):
    world = World(tmp_path_factory.mktemp("z"), code)
    # Those that follow when it has ended are forked.
    with as_in_production():
        world.fork("first of all")
    yield world
    world.end()


def predict(connection, op, arg=""):
    return value(connection.call(JSON, ask(op, arg), 20))


def test_two_forks_answer_and_live_in_sessions_of_their_own(world):
    forks = [world.fork(name) for name in ("a", "b")]
    for pid, connection in forks:
        assert predict(connection, "pid") == pid
        assert os.getsid(pid) == pid
    assert os.getsid(world.pid) == world.pid


def test_a_fork_that_is_killed_is_reaped_and_its_log_says_so(world):
    pid, _ = world.fork("killed")
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{pid}").exists())
    eventually(lambda: "worker killed ended, killed by SIGKILL\n" in world.log("killed"))


def test_the_threads_of_an_endpoint_reach_libraries_that_were_imported_before_the_fork(world):
    _, three = world.fork("three", environment={"OMP_NUM_THREADS": "3"})
    _, two = world.fork("two-threads", environment={"OPENBLAS_NUM_THREADS": "2"})
    _, one = world.fork("one-thread", threads=1)
    # A custom model computes in threads of a pool: each of them is limited.
    assert predict(three, "blas threads") == [3]
    assert predict(two, "blas threads") == [2]
    assert predict(one, "blas threads") == [1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="capabilities are Linux's")
def test_as_root_it_keeps_no_capability_but_what_forks_need_and_an_open_worker_none(world):
    pid, _ = world.fork("plain")
    for task in Path(f"/proc/{world.pid}/task").iterdir():
        assert_rights((task / "status").read_text(), allowed=MAKES_USER_NAMESPACES)
    assert_rights(Path(f"/proc/{pid}/status").read_text(), allowed=0)


def assert_rights(status, allowed):
    """That a process has no other capabilities than ``allowed``, and can get none by executing a program."""
    said = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert {int(said[name], 16) & ~allowed for name in ("CapPrm", "CapEff", "CapInh", "CapAmb")} == {0}, status
    assert said["NoNewPrivs"] == "1"


def test_one_worker_does_not_see_the_variables_of_another(world):
    _, one = world.fork("one", environment={"MODEL_TOKEN": "of one"})
    _, two = world.fork("two")
    assert predict(one, "env", "MODEL_TOKEN") == "of one"
    assert predict(two, "env", "MODEL_TOKEN") is None


def test_a_fork_has_no_file_of_the_zygote_or_of_another_fork(world):
    _, first = world.fork("first")
    first.ping(5)
    pid, second = world.fork("second")
    mine = {entry.name: str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
    log = str(world.paths.logs / "e" / "second.log")
    assert (mine["0"], mine["1"], mine["2"]) == (os.devnull, log, log)
    # The worker opens its counts a moment after its start.
    own = {os.devnull, log, str(world.paths.metrics / "worker-second.counts")}
    assert {target for target in mine.values() if target.startswith("/")} <= own
    theirs = {str(entry.readlink()) for entry in Path(f"/proc/{world.pid}/fd").iterdir()}
    sockets = {target for target in mine.values() if not target.startswith(("/", "anon_inode"))}
    assert not sockets & theirs
    second.close()


def test_a_fork_may_have_no_more_files_open_than_allowed_and_dumps_no_core(world):
    _, connection = world.fork("limited", max_open_files=200)
    assert predict(connection, "limits") == [200, 0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="processes are counted on Linux only")
def test_a_worker_in_the_background_gives_way_and_no_other_worker_does(world):
    shadow, _ = world.fork("one", priority="background")
    normal, _ = world.fork("two", priority="normal")
    niceness = [psutil.Process(pid).nice() for pid in (world.pid, normal, shadow)]
    assert niceness == [os.nice(0), os.nice(0), min(19, os.nice(0) + 10)]


def test_a_worker_with_too_many_processes_is_ended_with_all_of_them_and_the_others_go_on(world):
    _, other = world.fork("other")
    pid, bomb = world.fork("bomb", max_processes=64)
    with pytest.raises((OSError, WireError, AssertionError)):
        predict(bomb, "fork", "10000")
    eventually(lambda: "worker bomb ended, killed by SIGKILL" in world.log("bomb"), 30, lambda: world.log("bomb"))
    assert "more than the 64 that its endpoint's max_processes allows" in world.log("bomb")
    eventually(lambda: not session_members(pid))
    assert predict(other, "echo", "still here") == "still here"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS has no subreaper")
def test_a_daemon_of_a_worker_s_ends_with_it_although_it_left_the_session(world):
    pid, connection = world.fork("parent")
    daemon = predict(connection, "daemon")
    assert os.getsid(daemon) not in {pid, daemon}
    assert psutil.Process(daemon).ppid() == pid
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: start_stamp(daemon) is None)


def test_every_fork_has_random_numbers_of_its_own(world):
    drawn = [predict(world.fork(name)[1], "random") for name in ("r1", "r2")]
    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


def test_what_a_model_prints_is_in_its_log_at_once(world):
    _, connection = world.fork("prints")
    predict(connection, "print", "hello from the model")
    assert "hello from the model\n" in world.log("prints")


@pytest.mark.parametrize(
    "said",
    [
        b"\n",
        b"garbage\n",
        b"\xff\xfe\n",
        b"5\n",
        b"null\n",
        b"[]\n",
        b'"fork"\n',
        b'["fork"]\n',
        b'{"fork": 5}\n',
        b'{"fork": {}}\n',
        b'{"fork": null, "flavor": []}\n',
        b"[" * 100_000 + b"\n",
        b"cut short",
        b"",
    ],
)
def test_nonsense_does_not_end_it_and_forks_nothing(world, said):
    if not list(world.paths.sockets.glob("zygote-*")):
        world.fork("begin")
    pid = world.pid
    before = {child.pid for child in psutil.Process(pid).children()}
    world.ask(said)
    assert world.pid == pid
    assert {child.pid for child in psutil.Process(pid).children()} <= before


def test_whoever_asks_for_a_fork_and_leaves_gets_none(world):
    world.fork("before")
    pid = world.pid
    log = world.paths.logs / "e" / "left.log"
    config = worker_config(world.paths.root, world.code, worker_id="left", log=str(log))
    log.touch()
    # Stopped until nobody is there any more to take its answer.
    os.kill(pid, signal.SIGSTOP)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(world.address))
            connection.sendall(json.dumps({"fork": config}).encode() + b"\n")
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: "worker left ended, killed by SIGKILL" in log.read_text(), 10, log.read_text)
    assert world.pid == pid


def test_it_imports_no_code_of_a_model_and_has_no_thread_of_pythons(world, tmp_path):
    _, connection = world.fork("code")
    assert "imported in" in world.log("code")
    connection.close()
    maps = Path(f"/proc/{world.pid}/maps").read_text()
    # What a worker needs in any case is shared by all.
    assert "numpy" in maps
    assert "uvloop" in maps
    assert f"imported in {world.pid}\n" not in world.log("code")
    # Native threads that libraries start when they are imported and that are safe to fork: BLAS, Arrow's allocator.
    names = {(task / "comm").read_text().strip() for task in Path(f"/proc/{world.pid}/task").iterdir()}
    # The process itself goes by the name it was started with.
    assert all(name == "jemalloc_bg_thd" or name.startswith("python") for name in names), names
    seen = tmp_path / "threads"
    loading = f"open({str(seen)!r}, 'w').write(str(sorted(thread.name for thread in threading.enumerate())))"
    world.fork("threads", code_model(tmp_path / "m", loading))
    # In the fork: its own two, none inherited.
    assert seen.read_text() == "['MainThread', 'watchdog']"


def test_a_fork_whose_model_directory_is_gone_says_so_in_its_own_log(world, tmp_path):
    settings = WorkerSettings(env_manager="local", request_timeout_s=60.0, sandbox="off")
    log = world.paths.logs / "e" / "gone.log"
    spec = WorkerSpec(EntityKey("e", "1"), "f", tmp_path / "no such", log, settings, None)
    common = worker_config(world.paths.root, world.code, worker_id="gone", log=str(log))
    told = {key: common[key] for key in COMMON} | worker_arguments(settings)
    world.zygotes.fork(spec, told, world.paths.sockets / "gone.sock")
    eventually(lambda: "worker gone ended, exit code 1" in world.log("gone"), 10, lambda: world.log("gone"))
    assert "FileNotFoundError" in world.log("gone")


def test_killed_its_workers_go_on_and_the_next_launch_gets_another(world):
    pid, connection = world.fork("survivor")
    before = world.pid
    os.kill(before, signal.SIGKILL)
    eventually(lambda: start_stamp(before) is None)
    assert predict(connection, "pid") == pid
    _, other = world.fork("successor")
    assert world.pid != before
    assert predict(connection, "echo", "x") == predict(other, "echo", "x") == "x"


def test_rest_ends_it_and_leaves_its_workers(world):
    pid, connection = world.fork("resting")
    before = world.pid
    world.zygotes.retain(())
    assert start_stamp(before) is None
    assert not list(world.paths.sockets.glob("zygote-*"))
    assert not list(world.paths.logs.glob("zygote*"))
    assert predict(connection, "pid") == pid
    world.zygotes.retain(())


def test_the_zygotes_of_environments_that_nothing_needs_any_more_end(world):
    pid, connection = world.fork("kept")
    before = world.pid
    world.zygotes.retain({sys.executable, "/other/bin/python"})
    assert world.pid == before
    world.zygotes.retain({"/other/bin/python"})
    assert start_stamp(before) is None
    assert predict(connection, "pid") == pid


def test_rest_ends_one_whose_socket_was_removed(world):
    world.fork("unreachable")
    before = world.pid
    world.address.unlink()
    world.zygotes.retain(())
    assert start_stamp(before) is None


def test_one_whose_socket_was_removed_ends_by_itself_and_leaves_its_workers(world):
    pid, connection = world.fork("stays")
    zygote = json.loads(world.ask(b"{}\n"))["pid"]
    world.address.unlink()
    eventually(lambda: start_stamp(zygote) is None)
    assert value(connection.call(JSON, ask("echo", "x"), 20)) == "x"
    connection.close()
    os.kill(pid, signal.SIGKILL)


def test_without_a_controller_it_ends_after_its_workers_would(tmp_path, code):
    world = World(tmp_path, code)
    world.zygotes = Zygotes(Settings(orphan_grace_s=1.0), world.paths)
    try:
        # It has five seconds more than a worker, and they count from its start.
        with contextlib.suppress(WorkerFailedError, AssertionError):
            world.fork("orphan")
        pid = world.pid
        eventually(lambda: start_stamp(pid) is None)
    finally:
        world.end()
