"""Workers of the runtime ``mlflow``: real ``mlflow models serve`` processes under real guards."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import warnings
from dataclasses import replace
from pathlib import Path

import mlflow
import pandas as pd
import psutil
import pytest
from mlflow.models import ModelSignature
from mlflow.types import ColSpec, Schema
from support import command_line, eventually, processes_about

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerPhase, WorkerSpec
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.backends.records import WorkerRecord, write_record
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey, Example
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import session_members, start_stamp
from mlflow_serving_plugin.links.unix_http import UnixHTTPConnection
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.logs import life_line

START_S = 120.0
SETTINGS = Settings(start_timeout_s=START_S, stop_grace_s=5.0, orphan_grace_s=300.0)
STOCK = WorkerSettings(runtime="mlflow", env_manager="local", request_timeout_s=30.0, memory_limit_mb=None)
SECRETS = {
    "_MLFLOW_SERVER_FILE_STORE": "postgresql://u:s3cret@h/d",
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "s3cret",
    "MLFLOW_TRACKING_PASSWORD": "s3cret",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "DATABASE_URL": "postgresql://u:s3cret@h/d",
}


class World:
    """A state directory and backends on it."""

    def __init__(self):
        # Not below pytest's own directory: that name is too long for a unix socket.
        self.root = Path(tempfile.mkdtemp(prefix="mls-"))
        self.paths = StatePaths.create(self.root / "state")
        self.paths.lease.touch()
        self.backend = LocalBackend(SETTINGS, self.paths)

    def spec(self, model_dir, *, version=1, example=None, **settings):
        key = EntityKey("e", str(version))
        return WorkerSpec(
            key=key,
            fingerprint="f",
            model_dir=model_dir,
            log=self.paths.entity_log(key.endpoint_id, key.name),
            settings=replace(STOCK, **settings),
            example=example,
        )

    def launch(self, model_dir, **options):
        spec = self.spec(model_dir, **options)
        try:
            self.backend.launch(spec)
        except BaseException:
            print(spec.log.read_text() if spec.log.exists() else "(no log)")
            raise
        return self.only()

    def only(self, backend=None):
        (worker,) = (backend or self.backend).observe()
        return worker

    def is_clear(self):
        return (
            self.backend.observe() == []
            and list(self.paths.workers.iterdir()) == []
            and list(self.paths.sockets.iterdir()) == []
            and not self.processes()
        )

    def processes(self):
        return processes_about(self.root)

    def close(self):
        self.backend.cancel()
        last = LocalBackend(replace_settings(stop_grace_s=0.2), self.paths)
        last.adopt()
        for worker in last.observe():
            last.stop(worker.worker_id)
        shutil.rmtree(self.root, ignore_errors=True)


def replace_settings(**changes):
    return replace(SETTINGS, **changes)


def post(worker, body, content_type="application/json"):
    connection = UnixHTTPConnection(worker.address, 30.0)
    try:
        connection.request("POST", "/invocations", body=body, headers={"Content-Type": content_type})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


@pytest.fixture(scope="module")
def iris(models):
    return models.path("iris-1")


@pytest.fixture(scope="module")
def served(iris):
    """A worker that scores iris, for tests that leave it as it was. The server around it has secrets."""
    made = World()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SECRETS.items():
            patch.setenv(name, value)
        made.launch(iris, example=scoring_example(iris), environment={"OWN": "variable"})
    yield made
    made.close()


def save_code(directory, lines, example=None):
    """A pyfunc model from a few lines; ``predict`` is given as ``answer``."""
    code = directory.with_suffix(".py")
    code.write_text(
        "import os, signal, time\n"
        "from mlflow.models import set_model\n"
        "from mlflow.pyfunc import PythonModel\n\n"
        "class Model(PythonModel):\n"
        "    def predict(self, context, model_input, params=None):\n"
        f"        {lines}\n\n"
        "set_model(Model())\n"
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            directory,
            python_model=str(code),
            signature=ModelSignature(inputs=Schema([ColSpec("double", "x")])),
            input_example=example,
            pip_requirements=["mlflow"],
        )
    return directory


def test_a_launched_worker_is_ready_and_scores(served, models):
    worker = served.only()
    assert (worker.phase, worker.message, worker.protocol) == (WorkerPhase.READY, "", "http")
    assert worker.ready_since_ms >= worker.started_ms
    rows = models.iris.iloc[[0, 75, 140]]
    body = json.dumps({"dataframe_split": rows.to_dict(orient="split")})
    assert post(worker, body) == (200, {"predictions": models.iris_predictions(1, rows)})


def test_its_socket_is_in_a_directory_that_only_this_user_can_enter(served):
    address = Path(served.only().address)
    assert stat.S_ISSOCK(address.stat().st_mode)
    assert stat.S_IMODE(address.parent.stat().st_mode) == 0o700


def test_it_is_a_session_of_its_own(served):
    worker = served.only()
    assert os.getsid(worker.pid) == worker.pid
    assert len(session_members(worker.pid)) >= 2


def test_none_of_its_processes_knows_a_secret_of_the_server(served):
    for pid in session_members(served.only().pid):
        environment = psutil.Process(pid).environ()
        assert not SECRETS.keys() & environment.keys()
        assert not any("s3cret" in value for value in environment.values())


def test_it_has_the_endpoint_s_own_variables(served):
    assert all(psutil.Process(pid).environ()["OWN"] == "variable" for pid in session_members(served.only().pid))


def test_it_listens_on_no_port(served):
    for pid in session_members(served.only().pid):
        assert [c for c in psutil.Process(pid).net_connections("inet") if c.status == psutil.CONN_LISTEN] == []


def test_bad_input_is_answered_and_harms_nothing(served):
    assert post(served.only(), "{")[0] == 400
    assert served.only().phase is WorkerPhase.READY


def test_its_log_says_when_it_started(served):
    worker = served.only()
    assert f"worker {worker.worker_id} started" in served.spec(Path()).log.read_text()


def test_another_backend_finds_it_as_it_is(served):
    other = LocalBackend(SETTINGS, served.paths)
    other.adopt()
    assert served.only(other) == served.only()
    assert served.only(other).phase is WorkerPhase.READY


def test_adopting_twice_changes_nothing(served):
    other = LocalBackend(SETTINGS, served.paths)
    other.adopt()
    other.adopt()
    assert served.only(other) == served.only()


def test_a_killed_server_is_dead_for_a_reason_and_can_be_stopped(served):
    """The last of the tests on this worker."""
    worker = served.only()
    (server,) = [pid for pid in session_members(worker.pid) if "uvicorn" in " ".join(command_line(psutil.Process(pid)))]
    os.kill(server, signal.SIGKILL)
    eventually(lambda: start_stamp(worker.pid) is None)
    assert served.only().phase is WorkerPhase.DEAD
    assert served.only().message == "The worker was killed by SIGKILL, probably out of memory."
    served.backend.stop(worker.worker_id)
    eventually(served.is_clear)


def test_a_model_that_raises_on_load_fails_with_what_it_raised_and_leaves_nothing(world, models):
    with pytest.raises(WorkerFailedError) as caught:
        world.launch(models.path("broken"))
    assert caught.value.message == "RuntimeError: the licence file is missing"
    eventually(world.is_clear)


def test_a_model_that_refuses_its_example_is_ready_with_a_note_and_another_backend_stops_it(world):
    model = save_code(world.root / "m", "raise KeyError('petal')", pd.DataFrame({"x": [1.0]}))
    example = Example(b'{"dataframe_split": {"columns": ["x"], "data": [[1.0]]}}', "application/json")
    worker = world.launch(model, example=example)
    assert (worker.phase, worker.scored_example, worker.example_form) == (WorkerPhase.READY, False, None)
    assert worker.example_note.startswith("The model refuses its own input example: KeyError, see the version's log.")
    other = LocalBackend(SETTINGS, world.paths)
    other.adopt()
    other.stop(worker.worker_id)
    assert other.observe() == []
    # The backend that launched it sees it dead, and clears away what it has of it.
    assert world.only().phase is WorkerPhase.DEAD
    world.backend.stop(worker.worker_id)
    eventually(world.is_clear)
    assert start_stamp(worker.pid) is None


def test_a_start_that_takes_too_long_fails_and_leaves_nothing(world, iris):
    world.backend = LocalBackend(replace_settings(start_timeout_s=0.5), world.paths)
    with pytest.raises(WorkerFailedError, match="did not answer within the start timeout"):
        world.launch(iris)
    eventually(world.is_clear)


def test_a_launch_that_is_cancelled_leaves_its_worker_to_the_next_backend(world, iris):
    raised = []

    def launch():
        try:
            world.backend.launch(world.spec(iris))
        except WorkerFailedError as error:
            raised.append(error.message)

    thread = threading.Thread(target=launch)
    thread.start()
    eventually(world.backend.observe)
    worker = world.only()
    assert worker.phase is WorkerPhase.STARTING
    world.backend.cancel()
    thread.join(10)
    assert raised == ["The controller is stopping."]
    assert start_stamp(worker.pid) is not None
    # It may be half way: the next controller ends it and starts its own.
    other = LocalBackend(SETTINGS, world.paths)
    other.adopt()
    assert other.observe() == []
    eventually(lambda: start_stamp(worker.pid) is None)
    assert list(world.paths.workers.iterdir()) == []


@pytest.fixture
def guarded(world):
    """A record and a socket of a worker, whose guard is a process that lives on."""
    guard = subprocess.Popen(["sleep", "60"], start_new_session=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(world.paths.sockets / "w.sock"))
        listener.listen()
        record = WorkerRecord(
            worker_id="w",
            key=EntityKey("e", "1"),
            fingerprint="f",
            protocol="http",
            address=str(world.paths.sockets / "w.sock"),
            started_ms=1,
            ready_since_ms=2,
            pid=guard.pid,
            stamp=start_stamp(guard.pid),
            log=str(world.root / "1.log"),
        )
        write_record(world.paths.workers, record)
        world.backend.adopt()
        yield record
    guard.kill()
    guard.wait()


@pytest.mark.parametrize(
    "logged, reason",
    [
        (["ended, killed by SIGKILL"], "The worker was killed by SIGKILL, probably out of memory."),
        (["ending: it had 65 processes", "ended"], "The worker was stopped: it had 65 processes."),
    ],
)
def test_a_worker_whose_guard_has_logged_its_end_and_lives_on_is_dead_for_that_reason(world, guarded, logged, reason):
    assert world.only().phase is WorkerPhase.READY
    Path(guarded.log).write_text("".join(f"{life_line('w', line)}\n" for line in logged))
    Path(guarded.address).unlink()
    assert world.only().phase is WorkerPhase.DEAD
    assert world.only().message == reason


def test_a_worker_that_goes_on_without_its_socket_is_dead_because_of_that(world, guarded):
    Path(guarded.address).unlink()
    assert world.only().phase is WorkerPhase.DEAD
    assert world.only().message == "The worker's socket was removed: the worker is unreachable."


def test_stopping_a_worker_that_was_never_there_is_fine(world):
    world.backend.stop("nobody")
    eventually(world.is_clear)


def test_damaged_records_and_sockets_of_nobody_are_cleared_away(world, caplog):
    (world.paths.workers / "abc.json").write_text("{")
    (world.paths.workers / "def.json").write_text('{"worker_id": "def"}')
    (world.paths.sockets / "nobody.sock").touch()
    (world.paths.sockets / "nobody.sock.status").touch()
    (world.paths.workers / "abc.json.4711.tmp").touch()
    world.backend.adopt()
    assert world.backend.observe() == []
    assert list(world.paths.sockets.iterdir()) == []
    assert sorted(path.name for path in world.paths.workers.iterdir()) == ["abc.damaged", "def.damaged"]
    assert "abc.json is damaged" in caplog.text
