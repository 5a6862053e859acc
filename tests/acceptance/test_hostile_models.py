"""Models that attack their server: what each mode promises, on a real server.

The models are in the sandbox, unless their endpoint asks for none. Without the sandbox a model runs as the server's
user. Such a model is not given the server's secrets or files, and cannot bring down the server or other models with
processes or memory; but it can read what that user can.
"""

from __future__ import annotations

import ast
import errno
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import eventually
from support.models import Models, register
from support.preloaded import IN_PRODUCTION
from support.server import TrackingServer

from mlflow_serving_plugin.backends.isolation import levels

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits and sandbox need Linux"),
    pytest.mark.xdist_group("hostile"),
]
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s3cret-of-the-store",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "s3cret-of-the-sessions",
    "MLFLOW_TRACKING_PASSWORD": "s3cret-of-the-user",
}
KERNEL = [
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/vm/drop_caches",
    "/proc/sysrq-trigger",
    "/proc/self/oom_score_adj",
]
"""What root may write without any capability."""

MIGHTY = sum(1 << number for number in (16, 17, 19, 22, 25, 39))
"""Capabilities: kernel modules, ports of devices, tracing, reboot, the clock, BPF."""

LIMITS = {"max_processes": 64, "memory_limit_mb": 1500, "request_timeout_s": 20}
OPEN = {
    "open-native": {"runtime": "native", "sandbox": "off", **LIMITS},
    "open-stock": {"runtime": "mlflow", "sandbox": "off", **LIMITS},
}
CLOSED = {
    "closed-native": {"runtime": "native", "network": "off", **LIMITS},
    "closed-stock": {"runtime": "mlflow", "network": "off", **LIMITS},
}
ONLINE = {"online-native": {"runtime": "native", **LIMITS}}
"""As an endpoint is without a configuration of its own, but for the limits."""

ALL = {**OPEN, **CLOSED, **ONLINE}
FORKING = {"online-native"}
"""Below a guard, and below a keeper: who counts processes."""

sandboxed = pytest.mark.parametrize("name", [*CLOSED, *ONLINE])
whichever = pytest.mark.parametrize("name", ALL)


@pytest.fixture(scope="module")
def server(models: Models) -> Iterator[TrackingServer]:
    """A server that has secrets, with a model to be protected, and hostile ones in every mode."""
    if levels().namespaces:
        pytest.skip(f"no namespaces on this machine: {levels().namespaces}")
    settings = {"backoff_base_s": 0.1, "backoff_cap_s": 0.5, "sandbox_optional": "true"}
    # All of its processes are as in production.
    with TrackingServer("uvicorn", settings=settings, environ=SECRETS | IN_PRODUCTION) as server:
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)
        for name, config in ALL.items():
            register(server.client, name, models.path("hostile"))
            server.enable(name, **config)
        for name in ALL:
            server.wait_ready(name, 1)
        yield server


@pytest.fixture
def iris_goes_on(server: TrackingServer, models: Models) -> Iterator[None]:
    """While the test runs, the other model answers every request rightly, from the same worker; as does MLflow."""
    rows = models.iris.iloc[[0, 60, 120]]
    wanted = {"predictions": models.iris_predictions(1, rows)}
    before = [worker["pid"] for worker in server.workers("iris")]
    over, wrong = threading.Event(), []

    def score() -> None:
        while not over.wait(0.05):
            response = server.score("iris/1", {"dataframe_split": rows.to_dict(orient="split")})
            if response.status_code != 200 or response.json() != wanted:
                wrong.append(response.text)

    thread = threading.Thread(target=score)
    thread.start()
    yield
    over.set()
    thread.join()
    assert wrong == []
    assert [worker["pid"] for worker in server.workers("iris")] == before
    assert server.client.search_registered_models()


def attack(server: TrackingServer, name: str, op: str, arg: object = "") -> str:
    """What came of it, as the model says."""
    response = attempt(server, name, op, arg)
    assert response.status_code == 200, f"{response.text}\n{server.tail()}"
    return response.json()["predictions"][0]


def attempt(server: TrackingServer, name: str, op: str, arg: object = ""):
    return server.score(f"{name}/1", {"dataframe_records": [{"op": op, "arg": str(arg)}]})


def end_of(server: TrackingServer, name: str, pid: int) -> None:
    """Wait until the model is served again, by another worker than that."""
    eventually(
        lambda: server.workers(name) and pid not in {worker["pid"] for worker in server.workers(name)},
        within_s=60,
        tail=server.tail,
    )
    server.wait_ready(name, 1)


def messages(server: TrackingServer, name: str) -> list[str]:
    """What the events of a model say, the newest first."""
    history = server.api("GET", "get-event-history", registered_model_name=name)["events"]
    return [event["message"] for event in history]


def iris_files(server: TrackingServer) -> Path:
    """The model directory of iris, as the server has fetched it."""
    endpoint = server.routes()["endpoints"]["default/iris"]["id"]
    (found,) = (server.state / "models").glob(f"{endpoint}/**/MLmodel")
    return found.parent


@whichever
def test_a_hostile_model_is_served_like_any_other(server: TrackingServer, name: str) -> None:
    assert attack(server, name, "echo", "hello") == "hello"


@whichever
def test_its_environment_has_nothing_of_the_server_s(server: TrackingServer, name: str) -> None:
    environment = attack(server, name, "environ")
    assert "'PATH'" in environment
    assert "s3cret" not in environment
    assert "MLFLOW_SERVING_" not in environment
    assert "mlflow.db" not in environment


@whichever
def test_mlflow_in_a_model_has_no_store_and_makes_none_beside_the_model(server: TrackingServer, name: str) -> None:
    said, *refused = ast.literal_eval(attack(server, name, "track"))
    assert said == "traced"
    assert all(re.search("tracking: on|set-tracking-to-on", sentence) for sentence in refused), refused
    assert not {"mlflow.db", "mlruns"} & set(ast.literal_eval(attack(server, name, "ls", ".")))


@whichever
def test_nothing_of_the_server_s_is_open_in_it(server: TrackingServer, name: str) -> None:
    files = attack(server, name, "files")
    assert "mlflow.db" not in files
    assert "zygote" not in files
    own = (str(server.state / "logs"), str(server.state / "metrics" / "worker-"))
    allowed = ("socket:", "pipe:", "anon_inode:", "/dev/null", "/proc/", "/dev/urandom", *own)
    assert [file for file in ast.literal_eval(files) if not file.startswith(allowed)] == []


@sandboxed
def test_in_the_sandbox_it_reads_no_file_of_the_server_s(server: TrackingServer, name: str) -> None:
    (server.root / "beside.txt").write_text("private")
    hidden = [
        server.root / "mlflow.db",
        server.root / "beside.txt",
        iris_files(server) / "MLmodel",
        server.state / "routes.json",
        server.state / "lease",
        *(server.state / "workers").glob("*.json"),
        *(server.state / "logs").rglob("*.log"),
        Path("/etc/shadow"),
        Path(__file__),
    ]
    for path in hidden:
        assert path.is_file()
        assert attack(server, name, "read", path).startswith("refused: FileNotFoundError"), path
    for directory in (server.artifacts, server.state / "logs", server.state / "workers", Path.home() / ".cache"):
        assert attack(server, name, "ls", directory).startswith("refused: FileNotFoundError"), directory
    assert attack(server, name, "ls", server.state) == "['models']"
    assert len(ast.literal_eval(attack(server, name, "ls", server.state / "models"))) == 1


@sandboxed
def test_in_the_sandbox_it_writes_nothing_but_its_own_tmp(server: TrackingServer, name: str) -> None:
    own = server.routes()["endpoints"][f"default/{name}"]["id"]
    (model,) = (server.state / "models").glob(f"{own}/**/MLmodel")
    for path in ("/usr/x", "/x", "/etc/x"):
        assert attack(server, name, "write", path).startswith("refused: "), path
    for path in ("/etc/passwd", *KERNEL):
        assert attack(server, name, "open_to_write", path).startswith("refused: "), path
    before = model.read_bytes()
    for path in (model, model.parent / "x"):
        assert attack(server, name, "write", path) == "written", path
    assert model.read_bytes() == before
    assert not (model.parent / "x").exists()
    # The state directory of a test is below /tmp: it may make one like it in its own.
    for path in (Path("/tmp/x-of-a-model"), *(server.state / part / "x" for part in ("", "sockets", "workers"))):
        attack(server, name, "write", path)
        assert not path.exists()


@sandboxed
def test_in_the_sandbox_a_database_beside_the_model_is_its_own(server: TrackingServer, name: str) -> None:
    assert attack(server, name, "count", "kept.db") == "1"
    assert attack(server, name, "count", "kept.db") == "2"
    assert list((server.state / "models").rglob("kept.db")) == []


def test_what_a_model_has_written_outlives_one_of_two_replicas_and_no_file_is_fetched_again(
    server: TrackingServer,
) -> None:
    name = "open-native"
    server.enable(name, replicas=2)
    eventually(lambda: sum(worker["ready"] for worker in server.workers(name)) == 2, within_s=60, tail=server.tail)
    own = server.routes()["endpoints"][f"default/{name}"]["id"]
    (model,) = (server.state / "models").glob(f"{own}/**/MLmodel")
    assert [attack(server, name, "count", "calls.db"), attack(server, name, "write", "conda.yaml")] == ["1", "written"]
    before = {path.name: (path.stat().st_ino, path.stat().st_size) for path in model.parent.iterdir()}
    lost, stays = (worker["pid"] for worker in server.workers(name))
    os.kill(lost, signal.SIGKILL)
    end_of(server, name, lost)
    eventually(lambda: sum(worker["ready"] for worker in server.workers(name)) == 2, within_s=60, tail=server.tail)
    assert stays in {worker["pid"] for worker in server.workers(name)}
    assert {path.name: (path.stat().st_ino, path.stat().st_size) for path in model.parent.iterdir()} == before
    assert [attack(server, name, "count", "calls.db") for _ in range(4)] == ["2", "3", "4", "5"]
    server.enable(name, replicas=1)
    eventually(lambda: len(server.workers(name)) == 1, within_s=60, tail=server.tail)


@sandboxed
def test_in_the_sandbox_it_sees_and_reaches_no_other_process(server: TrackingServer, name: str) -> None:
    pids = [pid for pid in attack(server, name, "ls", "/proc").split("'") if pid.isdigit()]
    assert len(pids) < 12
    for process in server.processes():
        if str(process.pid) not in pids:
            for op in ("signal", "ptrace", "environ"):
                assert attack(server, name, op, process.pid).startswith("refused: "), (op, process)
    for pid in pids:
        assert "s3cret" not in attack(server, name, "environ", pid)


@sandboxed
def test_in_the_sandbox_it_becomes_nobody_s_root(server: TrackingServer, name: str) -> None:
    # A process with threads may not ask at all: one of its own does.
    code = (
        "import ctypes; libc = ctypes.CDLL(None, use_errno=True); print(libc.unshare(0x10000000), ctypes.get_errno())"
    )
    assert attack(server, name, "python", code).split() == ["-1", str(errno.EPERM)]


@sandboxed
def test_in_the_sandbox_it_reaches_no_socket_of_the_server_s(server: TrackingServer, name: str) -> None:
    for path in server.sockets():
        assert attack(server, name, "connect", path).startswith("refused: "), path


@pytest.mark.parametrize("name", CLOSED)
def test_without_a_network_it_opens_no_connection(server: TrackingServer, name: str) -> None:
    assert attack(server, name, "connect", f"127.0.0.1:{server.port}").startswith("refused: ")
    assert attack(server, name, "read", "/proc/net/dev").count(":") == 1  # only lo


@pytest.mark.parametrize("name", [*OPEN, *ONLINE])
def test_with_a_network_it_may_connect(server: TrackingServer, name: str) -> None:
    assert attack(server, name, "connect", f"127.0.0.1:{server.port}") == "connected"


@pytest.mark.parametrize(
    "name", [name if name in FORKING else pytest.param(name, marks=pytest.mark.matrix) for name in ALL]
)
@pytest.mark.usefixtures("iris_goes_on")
def test_forking_10_000_times_ends_it_and_nobody_else(server: TrackingServer, name: str) -> None:
    (worker,) = server.workers(name)
    before = len(server.processes())
    attempt(server, name, "fork", 10_000)
    end_of(server, name, worker["pid"])
    reason = "more than the 64 that its endpoint's max_processes allows"
    eventually(lambda: any(reason in text for text in messages(server, name)), tail=lambda: str(messages(server, name)))
    # The request was retried on the next worker, which ends in the same way.
    eventually(lambda: attempt(server, name, "echo", "again").status_code == 200, within_s=60, tail=server.tail)
    eventually(lambda: len(server.processes()) < before + 16, tail=server.tail)


@whichever
@pytest.mark.usefixtures("iris_goes_on")
def test_allocating_without_end_fails_it_and_nobody_else(server: TrackingServer, name: str) -> None:
    response = attempt(server, name, "allocate")
    assert response.status_code >= 400
    eventually(lambda: attempt(server, name, "echo", "again").status_code == 200, within_s=60, tail=server.tail)


def test_no_process_of_the_server_may_trace_others_or_load_modules_also_as_root(server: TrackingServer) -> None:
    processes = server.processes()
    assert len(processes) > 5
    for process in processes:
        status = Path(f"/proc/{process.pid}/status").read_text()
        for name in ("CapPrm", "CapEff", "CapInh", "CapAmb"):
            (held,) = re.findall(rf"^{name}:\s*(\w+)$", status, re.MULTILINE)
            assert not int(held, 16) & MIGHTY, (process.cmdline(), status)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can be somebody else")
def test_another_user_of_the_machine_reads_nothing_of_the_state(server: TrackingServer) -> None:
    server.root.chmod(0o755)
    files = [str(path) for path in server.state.rglob("*") if path.is_file()]
    assert len(files) > 10
    done = subprocess.run(["cat", *files], user=65534, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert done.stderr.count("Permission denied") == len(files)
    assert {path.stat().st_mode & 0o077 for path in (server.state / "logs").rglob("*.log")} == {0}
