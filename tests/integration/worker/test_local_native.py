"""The local backend with native workers: ready fast, honest about failures, found again, replaced when they hang."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from support import eventually
from support.controller import a_model, a_version, an_endpoint
from worker_processes import JSON, ask, code_model, value

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerPhase, WorkerSpec
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.controller.controller import Controller
from mlflow_serving_plugin.controller.deps import ControllerDeps
from mlflow_serving_plugin.controller.desired import worker_settings
from mlflow_serving_plugin.controller.leader import Candidate
from mlflow_serving_plugin.domain.config import EndpointConfig, WorkerSettings
from mlflow_serving_plugin.domain.config_rules import ServerRules
from mlflow_serving_plugin.domain.entity import EntityKey, Example
from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.host.messages import Overdue, send_nudge
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import kill_session, start_stamp
from mlflow_serving_plugin.host.snapshot import SnapshotReader
from mlflow_serving_plugin.links.frames_connection import FrameConnection
from mlflow_serving_plugin.metrics.files import merge_ended, read_totals
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.testing import MemoryRegistry, MemoryStore
from mlflow_serving_plugin.worker.counts import BATCH_ROWS

SETTINGS = Settings(stop_grace_s=5.0, start_timeout_s=60.0, tick_interval_s=0.2)


class World:
    """A state directory and its backend."""

    def __init__(self, root, **settings):
        self.paths = StatePaths.create(root)
        self.paths.lease.touch()
        self.settings = replace(SETTINGS, **settings)
        self.backend = LocalBackend(self.settings, self.paths)

    def launch(self, model, number=1, example=None, **settings):
        """Launch a worker; its status."""
        self.paths.lease.touch()
        before = {status.worker_id for status in self.backend.observe()}
        spec = WorkerSpec(
            key=EntityKey("e", str(number)),
            fingerprint="f",
            model_dir=model,
            log=self.log_path(number),
            settings=WorkerSettings(
                sandbox="off", env_manager="local", request_timeout_s=60.0, **{"memory_limit_mb": None, **settings}
            ),
            example=example,
        )
        self.backend.launch(spec)
        (status,) = [status for status in self.backend.observe() if status.worker_id not in before]
        return status

    def fails(self, model, **settings):
        """Launch a worker that fails; the reason. Nothing is left of it."""
        before = self.left()
        with pytest.raises(WorkerFailedError) as caught:
            self.launch(model, number=99, **settings)
        assert self.left() == before
        return caught.value.message

    def left(self):
        workers = {status.worker_id for status in self.backend.observe()}
        return workers, set(self.paths.workers.iterdir()), set(self.paths.sockets.glob("*.sock*"))

    def log_path(self, number):
        return self.paths.entity_log("e", str(number))

    def end(self):
        for status in self.backend.observe():
            self.backend.stop(status.worker_id, at_once=True)
        self.backend.retain(())


@pytest.fixture(scope="module")
def world():
    root = Path(tempfile.mkdtemp(prefix="lb"))
    world = World(root)
    yield world
    world.end()
    shutil.rmtree(root, ignore_errors=True)


def predict(status, op, arg=""):
    connection = FrameConnection(status.address, 5.0)
    try:
        return value(connection.call(JSON, ask(op, arg), 20))
    finally:
        connection.close()


def test_the_batches_of_each_version_are_counted_and_kept_when_its_worker_is_killed(world, models):
    example = scoring_example(models.path("iris"))
    status = world.launch(models.path("iris"), 41, example)
    connection = FrameConnection(status.address, 5.0)
    for _ in range(3):
        assert connection.call(example.content_type, example.body, 20).status == 200
    connection.close()

    def counted():
        return read_totals(world.paths.metrics).get((BATCH_ROWS, "e", "41"))

    # Its own example, by which it was found to be ready, is one more.
    eventually(lambda: counted() and sum(counted()[:-1]) == 4, tail=lambda: str(counted()))
    before = counted()
    os.kill(status.pid, signal.SIGKILL)
    world.backend.stop(status.worker_id)

    def merged():
        merge_ended(world.paths.metrics, lambda _: True)
        assert counted() == before
        return not list(world.paths.metrics.glob(f"*{status.worker_id}*"))

    # Its other threads may hold the file for a moment longer than its first.
    eventually(merged)


def test_further_workers_are_forked_from_one_zygote(world, models):
    example = scoring_example(models.path("iris"))
    assert example is not None
    workers = [world.launch(models.path("iris"), number, example) for number in (1, 2, 3)]
    for status in workers:
        assert status.phase is WorkerPhase.READY
        assert status.protocol == "frames"
        assert status.note.startswith("Batching on: verified on ")
        assert status.note.endswith(" rows.")
    (zygote,) = {psutil.Process(status.pid).ppid() for status in workers}
    assert "zygote" in psutil.Process(zygote).cmdline()


def test_gpus_are_counted_named_to_the_worker_kept_by_the_next_backend_and_free_at_the_end(code):
    root = Path(tempfile.mkdtemp(prefix="lb"))
    world = World(root, gpus="0,1")
    try:
        half = [world.launch(code, number, gpus=0.5) for number in (1, 2)]
        whole = world.launch(code, 3, gpus=1, environment={"CUDA_VISIBLE_DEVICES": "0,1"})
        seen = [predict(status, "env", "CUDA_VISIBLE_DEVICES") for status in (*half, whole)]
        assert seen == ["0", "0", "1"]
        assert "CUDA_VISIBLE_DEVICES: 1." in whole.note
        full = "Waiting for 0.5 GPU of this host: 0 is held by 2 workers; 1 is held by 1 worker."
        assert world.fails(code, gpus=0.5) == full

        world.backend = LocalBackend(world.settings, world.paths)
        world.backend.adopt()
        assert world.fails(code, gpus=0.5) == full
        os.kill(whole.pid, signal.SIGKILL)
        eventually(lambda: [s for s in world.backend.observe() if s.phase is WorkerPhase.DEAD])
        world.backend.stop(whole.worker_id)
        assert predict(world.launch(code, 4, gpus=1), "env", "CUDA_VISIBLE_DEVICES") == "1"
    finally:
        world.end()
        shutil.rmtree(root, ignore_errors=True)


COUNT_GPUS = """
import ctypes
cuda, count = ctypes.CDLL("libcuda.so.1"), ctypes.c_int()
answer = [cuda.cuInit(0), cuda.cuDeviceGetCount(ctypes.byref(count)), count.value]
"""


@pytest.mark.skipif(not list(Path("/dev").glob("nvidia[0-9]*")), reason="no GPU of NVIDIA here")
@pytest.mark.parametrize("sandbox", ["off", "auto"])
def test_a_worker_on_a_host_with_gpus_uses_those_that_it_was_given(code, sandbox):
    root = Path(tempfile.mkdtemp(prefix="lb"))
    world = World(root)
    try:
        half = [world.launch(code, number, gpus=0.5, sandbox=sandbox) for number in (1, 2)]
        assert [predict(status, "run", COUNT_GPUS) for status in half] == [[0, 0, 1]] * 2
        every = len(list(Path("/dev").glob("nvidia[0-9]*")))
        assert world.fails(code, gpus=every, sandbox=sandbox).startswith(f"Waiting for {every} GPU")
        assert "this host has" in world.fails(code, gpus=every + 1, sandbox=sandbox)
    finally:
        world.end()
        shutil.rmtree(root, ignore_errors=True)


def test_a_model_that_raises_on_loading_is_named_as_the_reason(world, tmp_path):
    assert world.fails(code_model(tmp_path / "m", "raise RuntimeError('no licence')")) == "RuntimeError: no licence"


def test_a_model_that_refuses_its_own_example_is_ready_with_a_note_that_holds_no_data(world, code):
    status = world.launch(code, 31, Example(ask("raise", "bad luck"), JSON))
    assert (status.phase, status.scored_example, status.example_form) == (WorkerPhase.READY, False, None)
    assert status.example_note.startswith("The model refuses its own input example: ValueError, see the version's log")
    assert "bad luck" not in status.example_note
    world.backend.stop(status.worker_id)


def test_an_example_is_tried_in_its_other_forms_and_the_one_that_scores_is_remembered(world, code):
    example = Example(ask("raise", "bad luck"), JSON, others=(Example(ask("pid"), JSON),))
    status = world.launch(code, 32, example)
    assert (status.scored_example, status.example_form) == (True, 1)
    assert status.example_note.endswith("The model takes the same example as dataframe_records.")
    world.backend.stop(status.worker_id)


def test_an_error_that_every_request_would_meet_is_the_reason_of_the_version(world, code):
    reason = world.fails(code, example=Example(ask("import", "module_that_nobody_has"), JSON))
    assert reason.startswith("The model loaded, but cannot score any request: ModuleNotFoundError: No module named ")
    assert reason.endswith("add its package to the model's requirements.")


def test_a_model_that_crashes_the_process_is_said_to_have(world, tmp_path, code):
    assert "SIGSEGV" in world.fails(code_model(tmp_path / "m", "ctypes.string_at(0)"))
    reason = world.fails(code, example=Example(ask("kill"), JSON))
    assert reason == "The worker died while scoring the model's own input example."


def test_a_worker_killed_while_it_loads_is_said_to_have_run_out_of_memory(world, tmp_path):
    reason = world.fails(code_model(tmp_path / "m", "os.kill(os.getpid(), 9)"))
    assert reason.startswith("The worker was killed by SIGKILL, probably out of memory. Last output: ")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="macOS has no limit on data")
def test_a_model_that_needs_more_than_its_limit_is_told_apart(world, tmp_path):
    python = code_model(tmp_path / "python", "b'x' * 10**10")
    assert world.fails(python, memory_limit_mb=1500).startswith("MemoryError. The worker's memory does not suffice")
    array = code_model(tmp_path / "array", "__import__('numpy').ones(10**10)")
    assert "Unable to allocate" in world.fails(array, memory_limit_mb=1500)


def test_a_model_that_exits_while_it_loads_fails(world, tmp_path):
    assert world.fails(code_model(tmp_path / "m", "sys.exit(0)")) == "The model called sys.exit() while it loaded."


def test_a_second_backend_adopts_workers_and_stops_them(world, code):
    status = world.launch(code, 20)
    second = LocalBackend(SETTINGS, world.paths)
    second.adopt()
    adopted = {one.worker_id: one for one in second.observe()}[status.worker_id]
    assert (adopted.phase, adopted.pid, adopted.address) == (WorkerPhase.READY, status.pid, status.address)
    assert predict(adopted, "pid") == status.pid
    second.stop(status.worker_id)
    assert start_stamp(status.pid) is None
    assert not Path(status.address).exists()
    world.backend.stop(status.worker_id)


def test_a_worker_whose_socket_somebody_removed_is_dead(world, code):
    status = world.launch(code, 51)
    Path(status.address).unlink()
    (found,) = [found for found in world.backend.observe() if found.worker_id == status.worker_id]
    assert (found.phase, found.message) == (
        WorkerPhase.DEAD,
        "The worker's socket was removed: the worker is unreachable.",
    )
    world.backend.stop(status.worker_id)
    assert start_stamp(status.pid) is None


def test_a_worker_that_nobody_can_connect_to_is_not_adopted(world, code):
    status = world.launch(code, 52)
    Path(status.address).unlink()
    Path(status.address).touch()
    second = LocalBackend(SETTINGS, world.paths)
    second.adopt()
    assert status.worker_id not in {found.worker_id for found in second.observe()}
    assert start_stamp(status.pid) is None
    world.backend.stop(status.worker_id)


def test_stopping_answers_what_is_under_way(world, code, tmp_path):
    status = world.launch(code, 21)
    answers = []
    asking = threading.Thread(target=lambda: answers.append(predict(status, "wait", str(tmp_path / "go"))))
    asking.start()
    stopping = threading.Thread(target=world.backend.stop, args=(status.worker_id,))
    eventually((tmp_path / "go.begun").exists)
    stopping.start()
    eventually(lambda: not Path(status.address).exists() or not listening(status.address))
    (tmp_path / "go").touch()
    stopping.join(20)
    asking.join(20)
    assert answers == ["wait"]


def listening(address):
    try:
        FrameConnection(address, 1.0).close()
    except OSError:
        return False
    return True


def test_a_worker_that_hangs_is_ended_at_once_when_that_is_asked_for(world, code):
    status = world.launch(code, 22)
    os.kill(status.pid, signal.SIGSTOP)
    started = time.monotonic()
    world.backend.stop(status.worker_id, at_once=True)
    assert time.monotonic() - started < SETTINGS.stop_grace_s
    eventually(lambda: start_stamp(status.pid) is None)


def test_a_worker_that_died_says_how(world, code):
    status = world.launch(code, 23)
    os.kill(status.pid, signal.SIGSEGV)

    def told():
        (now,) = [one for one in world.backend.observe() if one.worker_id == status.worker_id]
        return now.phase is WorkerPhase.DEAD and "SIGSEGV" in now.message

    eventually(told)
    world.backend.stop(status.worker_id)


def test_what_a_model_started_ends_with_its_worker(world, tmp_path):
    started = tmp_path / "pid"
    model = code_model(
        tmp_path / "m",
        f"import subprocess; open({str(started)!r}, 'w').write(str(subprocess.Popen(['sleep', '600']).pid))",
    )
    status = world.launch(model, 24)
    world.backend.stop(status.worker_id)
    eventually(lambda: start_stamp(int(started.read_text())) is None)


def test_a_process_that_only_got_a_dead_worker_s_number_is_left_alone(world, code):
    status = world.launch(code, 25)
    world.backend.stop(status.worker_id)
    stranger = subprocess.Popen(["sleep", "600"], start_new_session=True)
    try:
        # As it is after the machine, or the container, was started anew: the record names somebody else's process.
        for stamp in (start_stamp(stranger.pid).replace(" ", "1 "), "12345 another boot"):
            record = {"worker_id": "old", "endpoint_id": "e", "version": 1, "fingerprint": "f", "pid": stranger.pid}
            record |= {"stamp": stamp, "protocol": "frames", "address": str(world.paths.sockets / "old.sock")}
            record |= {"log": str(world.log_path(1)), "started_ms": 1, "ready_since_ms": 2}
            (world.paths.workers / "old.json").write_text(json.dumps(record))
            second = LocalBackend(SETTINGS, world.paths)
            second.adopt()
            assert "old" not in {one.worker_id for one in second.observe()}
            assert stranger.poll() is None
        kill_session(stranger.pid, start_stamp(stranger.pid))
        assert stranger.wait(10) == -signal.SIGKILL
    finally:
        stranger.kill()
        stranger.wait()


def controller_deps(paths, backend, code):
    """What a controller of one endpoint, of the code model, works with."""
    return ControllerDeps(
        settings=SETTINGS,
        paths=paths,
        store=MemoryStore(an_endpoint()),
        registry=MemoryRegistry(a_model("iris", a_version(1))),
        backend=backend,
        environments=Environments(SETTINGS, paths.environments),
        download=lambda workspace, name, number, directory: str(shutil.copytree(code, Path(directory) / "files")),
        example=lambda files: None,
    )


@pytest.fixture
def controlled(short, code):
    """A controller with one endpoint of the code model, running; the backend."""
    paths = StatePaths.create(short / "state")
    backend = LocalBackend(SETTINGS, paths)
    controller = Controller(controller_deps(paths, backend, code))
    stop = threading.Event()
    running = threading.Thread(target=controller.run, args=(stop,))
    running.start()
    yield backend, paths
    stop.set()
    controller.wake()
    running.join(20)
    for status in backend.observe():
        backend.stop(status.worker_id, at_once=True)
    backend.retain(())


def ready(backend):
    return [status for status in backend.observe() if status.phase is WorkerPhase.READY]


@pytest.mark.parametrize("hang", ["in a thread", "altogether"])
def test_a_hung_worker_is_replaced_at_the_nudge(controlled, hang):
    backend, paths = controlled
    (hung,) = eventually(lambda: ready(backend), 60)
    if hang == "in a thread":
        connection = FrameConnection(hung.address, 5.0)
        with pytest.raises(TimeoutError):
            connection.call(JSON, ask("sleep", "600"), 2.0)
        send_nudge(paths.nudges, Overdue(hung.worker_id))
    else:
        # By SIGSTOP or a debugger: the backend sees that without a request that times out.
        os.kill(hung.pid, signal.SIGSTOP)
    fresh = eventually(lambda: [one for one in ready(backend) if one.worker_id != hung.worker_id])
    assert predict(fresh[0], "echo", "x") == "x"
    eventually(lambda: start_stamp(hung.pid) is None)


def test_a_state_directory_that_is_deleted_is_made_anew_with_workers_that_answer(short, code):
    paths = StatePaths.create(short / "state")
    backends = []

    def controller():
        backends.append(LocalBackend(SETTINGS, paths))
        return Controller(controller_deps(paths, backends[-1], code))

    candidate = Candidate(paths, controller, lambda: LocalBackend(SETTINGS, paths))
    candidate.start()
    try:
        (lost,) = eventually(lambda: backends and ready(backends[-1]), 60)
        shutil.rmtree(paths.root)
        shutil.rmtree(paths.sockets, ignore_errors=True)
        (fresh,) = eventually(lambda: len(backends) > 1 and ready(backends[-1]), 60)
        assert predict(fresh, "echo", "x") == "x"
        assert SnapshotReader(paths.routes).current().endpoints
        assert paths.lease.exists()
        eventually(lambda: start_stamp(lost.pid) is None)
    finally:
        candidate.stop()


BAN = {"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}


@pytest.mark.parametrize("runtime", ["native", "mlflow"])
def test_a_pickled_model_fails_where_the_operator_forbids_pickles(world, models, runtime):
    wanted = worker_settings(
        EndpointConfig(runtime=runtime, environment={"MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "true"}),
        60.0,
        ServerRules(restrictions=BAN),
    )
    reason = world.fails(models.path("iris"), runtime=runtime, environment=wanted.environment)
    assert "MLFLOW_ALLOW_PICKLE_DESERIALIZATION" in reason
