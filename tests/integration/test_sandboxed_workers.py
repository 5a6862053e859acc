"""Sandboxed workers live like all others: they score, drain, die for a reason, and are found again.

Of the runtime ``mlflow`` one worker shows what differs: how it is started, what others see of it, and that it drains.
How guards end workers is shown without a sandbox too.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import tempfile
import threading
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from support import eventually, processes_about

from mlflow_serving_plugin.backends import isolation, native, sandbox, stock
from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerPhase, WorkerSpec
from mlflow_serving_plugin.backends.isolation import Levels, levels
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.host.processes import session_members, start_stamp
from mlflow_serving_plugin.links.frames_connection import FrameConnection
from mlflow_serving_plugin.links.unix_http import UnixHTTPConnection
from mlflow_serving_plugin.registry.examples import scoring_example
from mlflow_serving_plugin.settings import Settings
from mlflow_serving_plugin.worker.wire import WireError

SETTINGS = Settings(start_timeout_s=120.0, stop_grace_s=20.0, orphan_grace_s=300.0)
SANDBOXED = WorkerSettings(env_manager="local", request_timeout_s=60.0, sandbox="on", network="off")
pytestmark = [
    pytest.mark.skipif(shutil.which("bwrap") is None, reason="no bubblewrap (apt-get install bubblewrap)"),
    pytest.mark.server,
]
MODELS = {"native": "iris-1", "mlflow": "hostile"}
"""What the shared worker of each runtime serves. A stock server takes ten seconds to start: there is one."""


class World:
    """A state directory and its backend."""

    def __init__(self):
        self.root = Path(tempfile.mkdtemp(prefix="mls-"))
        self.paths = StatePaths.create(self.root / "state")
        self.paths.lease.touch()
        self.backend = LocalBackend(SETTINGS, self.paths)
        self.log = self.paths.entity_log("e", "1")

    def launch(self, model, *, example=True, cache=None, **settings):
        self.model = model
        found = scoring_example(model) if example else None
        chosen = replace(SANDBOXED, **settings)
        spec = WorkerSpec(EntityKey("e", "1"), "f", model, self.log, chosen, found, cache=cache)
        try:
            self.backend.launch(spec)
        except BaseException:
            print(self.tail())
            raise
        return self.only()

    def only(self, backend=None):
        (worker,) = (backend or self.backend).observe()
        return worker

    def tail(self):
        return self.log.read_text() if self.log.exists() else "(no log)"

    def is_clear(self):
        self.backend.retain(())
        left = [*self.backend.observe(), *self.paths.workers.iterdir(), *self.paths.sockets.iterdir()]
        return left == [] and not self.processes()

    def processes(self):
        return processes_about(self.root)

    def close(self):
        for worker in self.backend.observe():
            self.backend.stop(worker.worker_id, at_once=True)
        self.backend.retain(())
        shutil.rmtree(self.root, ignore_errors=True)


@pytest.fixture(scope="module", params=MODELS)
def served(request, models):
    """A worker for tests that leave it as it was, but for the last test, which ends it."""
    made = World()
    made.launch(models.path(MODELS[request.param]), runtime=request.param, environment={"OWN": "s3cret"})
    yield made
    made.close()


@pytest.fixture
def world():
    made = World()
    yield made
    made.close()


def post(worker, data, timeout_s=60.0):
    """Status and answer."""
    body = json.dumps(data).encode()
    if worker.protocol == "frames":
        connection = FrameConnection(worker.address, 5.0)
        with contextlib.closing(connection):
            response = connection.call("application/json", body, timeout_s)
            return response.status, json.loads(response.body)
    http = UnixHTTPConnection(worker.address, timeout_s)
    with contextlib.closing(http):
        http.request("POST", "/invocations", body=body, headers={"Content-Type": "application/json"})
        response = http.getresponse()
        return response.status, json.loads(response.read())


def said(word):
    """What a hostile model answers with that word."""
    return {"dataframe_records": [{"op": "echo", "arg": word}]}


def test_it_scores_as_it_would_without_the_sandbox(served, models):
    if served.only().protocol == "http":
        assert post(served.only(), said("hello")) == (200, {"predictions": ["hello"]})
        return
    rows = models.iris.iloc[::10]
    answer = post(served.only(), {"dataframe_split": rows.to_dict(orient="split")})
    assert answer == (200, {"predictions": models.iris_predictions(1, rows)})


def test_a_native_one_says_whether_it_batches_and_is_forked_from_a_zygote(served):
    native = served.only().protocol == "frames"
    if native:
        eventually(lambda: served.only().note.startswith("Batching on: verified on "))
    assert len(list(served.paths.sockets.glob("zygote-*"))) == native


def test_who_looks_after_it_has_no_more_rights_than_an_ordinary_process(served):
    for pid in session_members(served.only().pid):
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^CapEff:\s*0+$", status, re.MULTILINE), (psutil.Process(pid).cmdline(), status)
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)


def test_a_native_one_takes_no_more_memory_for_itself_than_its_budget(served):
    if served.only().protocol == "frames":
        taken = {pid: psutil.Process(pid).memory_full_info().uss for pid in session_members(served.only().pid)}
        assert sum(taken.values()) <= 32 * 2**20, taken


def test_no_command_line_that_all_users_can_read_has_an_endpoint_s_variable(served):
    pids = session_members(served.only().pid)
    native = served.only().protocol == "frames"
    assert len(pids) >= (2 if native else 4)
    assert not any("s3cret" in " ".join(psutil.Process(pid).cmdline()) for pid in pids)
    if not native:
        environments = [psutil.Process(pid).environ() for pid in pids]
        assert all(environment["OWN"] == "s3cret" for environment in environments)


def test_nothing_beside_its_socket_can_be_read_by_others(served):
    native = served.only().protocol == "frames"
    if native:
        eventually(lambda: served.only().note)
    own = served.paths.sockets.glob("*.sock*")
    modes = {path.name.partition(".sock")[2]: path.stat().st_mode & 0o777 for path in own}
    assert modes == {"": 0o600, **({".status": 0o600} if native else {})}


def test_another_backend_finds_it_as_it_is_and_keeps_all_its_files(served):
    before = sorted(served.paths.sockets.iterdir())
    other = LocalBackend(SETTINGS, served.paths)
    other.adopt()
    assert served.only(other) == served.only()
    assert served.only(other).phase is WorkerPhase.READY
    assert sorted(served.paths.sockets.iterdir()) == before
    example = scoring_example(served.model)
    assert post(served.only(other), json.loads(example.body))[0] == 200


def test_one_that_is_killed_is_dead_for_a_reason_and_leaves_nothing(world, models):
    worker = world.launch(models.path("iris-1"))
    innermost = max(session_members(worker.pid), key=lambda pid: len(psutil.Process(pid).parents()))
    os.kill(innermost, signal.SIGKILL)
    eventually(lambda: world.only().phase is WorkerPhase.DEAD, tail=world.tail)
    assert world.only().message == "The worker was killed by SIGKILL, probably out of memory."
    world.backend.stop(worker.worker_id)
    eventually(world.is_clear)


def test_it_goes_with_all_its_processes_when_its_keeper_is_killed(world, models):
    worker = world.launch(models.path("iris-1"))
    pids = session_members(worker.pid)
    os.kill(worker.pid, signal.SIGKILL)
    eventually(lambda: not any(start_stamp(pid) for pid in pids))
    assert world.only().phase is WorkerPhase.DEAD


def test_a_model_that_does_not_load_fails_with_what_it_raised(world, models):
    with pytest.raises(WorkerFailedError) as caught:
        world.launch(models.path("broken"), example=False)
    assert caught.value.message == "RuntimeError: the licence file is missing"
    eventually(world.is_clear)


@pytest.mark.parametrize("runtime", MODELS)
def test_without_bubblewrap_and_namespaces_it_fails_with_what_to_do(world, models, monkeypatch, runtime):
    sandbox.check_sandbox.cache_clear()
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: None)
    grant(monkeypatch, Levels("Operation not permitted", 0, False))
    with pytest.raises(WorkerFailedError, match="The sandbox needs bubblewrap, which is not installed on this server"):
        world.launch(models.path("iris-1"), runtime=runtime)
    eventually(world.is_clear)


def grant(monkeypatch, found):
    """As on a machine that has these layers only."""
    for module in (isolation, native, stock):
        monkeypatch.setattr(module, "levels", lambda: found)


WEAKER = {
    "Landlock 7, call filter": Levels("Operation not permitted", 7, True),
    "call filter": Levels("Operation not permitted", 0, True),
    "none": Levels("Operation not permitted", 0, False),
}


@pytest.mark.parametrize(
    ("told", "runtime"), [*((told, "native") for told in WEAKER), ("Landlock 7, call filter", "mlflow")]
)
def test_on_a_machine_without_namespaces_auto_takes_what_is_there(world, models, monkeypatch, told, runtime):
    found = WEAKER[told]
    if levels().landlock < found.landlock or levels().seccomp < found.seccomp:
        pytest.skip("not on this machine")
    grant(monkeypatch, found)
    worker = world.launch(models.path("hostile"), runtime=runtime, sandbox="auto", network="on")
    assert world.only().note.endswith(f"Sandbox: {told}.")
    rows = [{"op": "read", "arg": str(world.paths.lease)}, {"op": "temporary", "arg": ""}, {"op": "echo", "arg": "a"}]
    status, answer = post(worker, {"dataframe_records": rows})
    assert status == 200, world.tail()
    lease, temporary, echoed = answer["predictions"]
    assert lease.startswith("refused: PermissionError") == bool(found.landlock)
    assert echoed == "a"
    assert (temporary == f"{worker.address}.tmp") == (told != "none")
    world.backend.stop(worker.worker_id)
    eventually(world.is_clear)


@pytest.mark.parametrize(
    ("told", "runtime"),
    [
        ("", "native"),
        ("Landlock 7, call filter", "native"),
        pytest.param("", "mlflow", marks=pytest.mark.matrix),
    ],
)
def test_what_a_model_keeps_in_its_cache_outlives_the_worker_and_too_much_ends_it(
    world, models, monkeypatch, told, runtime
):
    if told:
        if levels().landlock < WEAKER[told].landlock:
            pytest.skip("not on this machine")
        grant(monkeypatch, WEAKER[told])
    cache, other = world.paths.caches / "e" / "own", world.paths.caches / "e" / "other"
    other.mkdir(parents=True)
    (other / "file").write_text("s3cret")
    config = {"runtime": runtime, "sandbox": "auto", "network": "on", "cache": cache, "cache_mb": 20}
    rows = [{"op": "count", "arg": f"{cache}/kept.db"}, {"op": "read", "arg": f"{other}/file"}]
    for calls in ("1", "2"):
        worker = world.launch(models.path("hostile"), **config)
        status, answer = post(worker, {"dataframe_records": rows})
        assert status == 200, world.tail()
        assert answer["predictions"][0] == calls
        assert answer["predictions"][1].startswith("refused: ")
        if calls == "1":
            world.backend.stop(worker.worker_id)
    with contextlib.suppress(OSError, http.client.HTTPException, WireError):
        post(worker, {"dataframe_records": [{"op": "fill", "arg": f"{cache}/large 30"}]})
    eventually(lambda: world.only().phase is WorkerPhase.DEAD, 20, tail=world.tail)
    assert re.fullmatch(
        r"The worker was stopped: its cache has \d+ MB, more than the 20 that its endpoint's cache_mb allows.",
        world.only().message,
    )
    world.backend.stop(worker.worker_id)
    eventually(world.is_clear)


def of_a_large_library(name):
    """A case of the tier ``flavors``: pip install -e '.[flavors]'."""
    missing = pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")
    return pytest.param(name, marks=[pytest.mark.flavors, missing])


@pytest.mark.parametrize("library", ["loky", *map(of_a_large_library, ("numba", "torch"))])
def test_a_model_that_starts_processes_or_keeps_what_it_compiles_scores(world, models, library):
    worker = world.launch(models.path("computing"), example=False)
    for number in (3.0, 4.0):
        answer = post(worker, {"dataframe_records": [{"by": library, "number": number}]})
        assert answer == (200, {"predictions": [number**2]}), world.tail()


@pytest.mark.parametrize("flavor", ["statsmodels", "pytorch", "catboost"])
@pytest.mark.flavors
def test_a_model_of_a_large_library_answers_as_without_the_sandbox(world, models, flavor):
    pytest.importorskip({"pytorch": "torch"}.get(flavor, flavor))
    body = {"dataframe_split": models.iris.iloc[::10].astype("float32").to_dict(orient="split")}
    answers = []
    for sandbox_, network in (("on", "off"), ("off", "on")):
        worker = world.launch(models.path(flavor), example=False, sandbox=sandbox_, network=network)
        answers.append(post(worker, body))
        world.backend.stop(worker.worker_id)
    assert answers[0][0] == 200, world.tail()
    assert answers[0] == answers[1]


def test_a_prediction_under_way_is_answered_before_the_worker_ends(served, models):
    """The last test: afterwards nothing is served."""
    worker = served.only()
    if worker.protocol == "frames":
        served.backend.stop(worker.worker_id)
        worker = served.launch(models.path("hostile"))
    answers = []
    rows = [{"op": "say", "arg": "it has begun"}, {"op": "sleep", "arg": "3"}]
    asking = threading.Thread(target=lambda: answers.append(post(worker, {"dataframe_records": rows})))
    asking.start()
    eventually(lambda: "it has begun" in served.tail(), 10, served.tail)
    served.backend.stop(worker.worker_id)
    asking.join(30)
    assert answers == [(200, {"predictions": ["said", "slept"]})], served.tail()
    eventually(served.is_clear)
