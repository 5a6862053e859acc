"""The parts of the Ray backend that need no Ray: files as content, nodes that are unfit, workers of other hosts."""

from __future__ import annotations

import ast
import subprocess
import sys
import threading
import time
from dataclasses import replace
from typing import ClassVar

import pytest

from mlflow_serving_plugin.backends import far_workers
from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerPhase, WorkerSpec, WorkerStatus
from mlflow_serving_plugin.backends.far_workers import FarWorkers
from mlflow_serving_plugin.backends.model_files import PIECE_BYTES, FileCache, manifest_of, pieces
from mlflow_serving_plugin.backends.ray import RayBackend
from mlflow_serving_plugin.backends.ray_actors import require_own
from mlflow_serving_plugin.backends.ray_client import for_nodes
from mlflow_serving_plugin.backends.ray_nodes import NodeFacts, head_of, labels_of, port_range, unfit
from mlflow_serving_plugin.backends.records import read_far_records, write_far_records
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings

HERE = NodeFacts("3.11.7", "0.1.0", "10.0.0.1")
WORKER = WorkerStatus(
    worker_id="0123456789ab",
    key=EntityKey("e", "1"),
    fingerprint="f",
    protocol="frames",
    address="tcp://10.0.0.7:2000/0123456789ab",
    started_ms=0,
    secret="s3cret",
    ready_since_ms=1,
    phase=WorkerPhase.READY,
    node="n1",
)


@pytest.fixture
def model(tmp_path):
    files = tmp_path / "model"
    (files / "code" / "empty").mkdir(parents=True)
    (files / "MLmodel").write_text("flavors: {}")
    (files / "code" / "a.py").write_text("same")
    (files / "code" / "b.py").write_text("same")
    (files / "weights").write_bytes(b"w" * (PIECE_BYTES + 1))
    (files / "nothing").touch()
    return files


def send(model, cache, manifest):
    """What the driver does; the digests that were sent."""
    lacking = cache.lacks(manifest)
    for digest in lacking:
        path = next(one.path for one in manifest if one.digest == digest)
        name = cache.begin()
        for piece in pieces(model / path):
            cache.add(name, piece)
        cache.end(name, digest)
    return lacking


def content(directory):
    return {
        path.relative_to(directory).as_posix(): path.read_bytes() if path.is_file() else None
        for path in directory.rglob("*")
    }


def test_a_model_is_the_same_on_the_node_and_each_content_is_sent_once(model, tmp_path):
    cache, manifest = FileCache(tmp_path / "cache"), manifest_of(model)
    assert len(send(model, cache, manifest)) == 4
    assert send(model, cache, manifest) == []
    there = cache.assemble(manifest)
    assert content(there) == content(model)
    assert cache.assemble(manifest) == there
    # Another version with the same weights.
    (model / "MLmodel").write_text("flavors: {other: 1}")
    assert len(send(model, cache, manifest_of(model))) == 1
    assert cache.assemble(manifest_of(model)) != there


def test_a_file_that_came_damaged_is_not_kept(model, tmp_path):
    cache, manifest = FileCache(tmp_path / "cache"), manifest_of(model)
    name = cache.begin()
    cache.add(name, b"something else")
    digest = next(one.digest for one in manifest if one.path == "weights")
    with pytest.raises(ValueError, match="damaged"):
        cache.end(name, digest)
    assert digest in cache.lacks(manifest)


def test_the_cache_keeps_its_limit_and_what_is_in_use(model, tmp_path):
    cache, first = FileCache(tmp_path / "cache"), manifest_of(model)
    send(model, cache, first)
    old = cache.assemble(first)
    (model / "weights").write_bytes(b"other")
    second = manifest_of(model)
    send(model, cache, second)
    new = cache.assemble(second)
    cache.trim({old, new}, 0, unused_s=-1)
    assert old.exists() and new.exists()
    cache.trim((), 0)
    assert old.exists()
    cache.trim({new}, PIECE_BYTES, unused_s=-1)
    assert not old.exists() and new.exists()
    assert cache.size_bytes() < PIECE_BYTES
    assert cache.lacks(second) == []


@pytest.mark.parametrize(
    "there, said",
    [
        (HERE, ""),
        (replace(HERE, host="10.0.0.2"), ""),
        (replace(HERE, python="3.11.8"), "has Python 3.11.8, and the server has 3.11.7."),
        (replace(HERE, plugin="0.2.0"), "has mlflow-serving-plugin 0.2.0, and the server has 0.1.0."),
    ],
)
def test_a_node_of_another_python_or_plugin_is_named_in_one_sentence(there, said):
    assert unfit(there, HERE) == said


def test_labels_and_ports_are_read_as_people_write_them():
    assert labels_of("") == {}
    assert labels_of("zone=eu, disk=ssd") == {"zone": "eu", "disk": "ssd"}
    assert port_range("") == (0, 0)
    assert port_range("20000-20100") == (20000, 20100)
    assert port_range("20000") == (20000, 20000)


@pytest.mark.parametrize(
    "address, head",
    [
        ("10.0.0.1:6379", ("10.0.0.1", 6379)),
        ("[fd00::1]:6379", ("fd00::1", 6379)),
        ("", None),
        ("auto", None),
        ("ray://head:10001", None),
    ],
)
def test_the_head_is_read_from_an_address_that_names_it(address, head):
    assert head_of(address) == head


class _Pulse:
    """A pulse that is told what its node does."""

    made: ClassVar = []

    def __init__(self, address, secret, lost, purpose):
        self.silent, self.stopped, self.used = False, threading.Event(), (address, secret)
        self.made.append(self)

    def use(self, address, secret):
        self.used = (address, secret)

    def stop(self):
        self.stopped.set()


@pytest.fixture
def far(monkeypatch):
    _Pulse.made = []
    monkeypatch.setattr(far_workers, "Pulse", _Pulse)
    return FarWorkers()


def test_a_worker_that_was_just_launched_or_ended_is_not_taken_from_an_older_answer(far):
    far.add(WORKER)
    far.seen({"n1": []}, {"n1"})
    assert far.observe() == [WORKER]
    far.remove(WORKER.worker_id)
    far.seen({"n1": [WORKER]}, {"n1"})
    assert far.observe() == []


def test_a_worker_that_its_node_has_ended_is_gone(far, monkeypatch):
    far.seen({"n1": [WORKER]}, {"n1"})
    far.seen({"n1": []}, {"n1"})
    assert far.observe() == []


def test_workers_of_a_node_that_left_the_cluster_serve_on_until_they_are_replaced(far):
    far.seen({"n1": [WORKER]}, {"n1"})
    far.seen({"n2": []}, {"n2"})
    (worker,) = far.observe()
    assert worker.ready and worker.fingerprint != WORKER.fingerprint


def test_workers_of_a_node_that_has_said_nothing_yet_are_as_before(far):
    far.seen({"n1": [WORKER]}, {"n1"})
    far.seen({}, {"n1", "n2"})
    assert far.observe() == [WORKER]


def test_a_silent_node_is_given_up_after_a_while_and_comes_back(far, monkeypatch):
    now = [time.monotonic()]
    monkeypatch.setattr(far_workers.time, "monotonic", lambda: now[0])
    far.seen({"n1": [WORKER]}, {"n1"})
    (pulse,) = _Pulse.made
    pulse.silent = True
    assert far.observe()[0].ready
    now[0] += far_workers.LOST_AFTER_S + 1
    (dead,) = far.observe()
    assert (dead.phase, dead.message) == (WorkerPhase.DEAD, "The worker's node gives no sign of life.")
    pulse.silent = False
    assert far.observe()[0].ready


def test_the_lease_of_a_node_is_renewed_while_the_node_has_workers(far):
    other = replace(WORKER, worker_id="0123456789ac", address="tcp://10.0.0.7:2000/0123456789ac")
    far.seen({"n1": [WORKER, other]}, {"n1"})
    (pulse,) = _Pulse.made
    far.remove(WORKER.worker_id)
    assert not pulse.stopped.is_set()
    far.remove(other.worker_id)
    assert pulse.stopped.is_set()


def test_the_next_controller_has_the_workers_that_this_one_has_recorded(far, monkeypatch, tmp_path):
    monkeypatch.setattr(far_workers, "_has_ended", lambda worker: worker.worker_id == WORKER.worker_id)
    path = tmp_path / "ray-workers.json"
    assert read_far_records(path) == []
    other = replace(WORKER, worker_id="0123456789ac", address="tcp://10.0.0.7:2000/0123456789ac", node="n2")
    first = FarWorkers(lambda workers: write_far_records(path, workers))
    first.seen({"n1": [WORKER], "n2": [other]}, {"n1", "n2"})
    first.close()
    first.seen({}, set())
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_far_records(path) == [WORKER, other]
    far.restore(read_far_records(path))
    dead, alive = far.observe()
    assert alive == other and (dead.worker_id, dead.phase) == (WORKER.worker_id, WorkerPhase.DEAD)
    path.write_text("[{}]")
    assert read_far_records(path) == [] and path.with_suffix(".damaged").exists()


def test_a_server_without_ray_imports_nothing_of_it():
    code = "import sys; import mlflow_serving_plugin.backends.selector; print([m for m in sys.modules if 'ray' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    assert [
        name for name in ast.literal_eval(found.stdout) if name.split(".")[0] == "ray" or "backends.ray" in name
    ] == []


def test_no_password_of_the_server_goes_to_the_nodes():
    settings = Settings(database_uri="postgresql://u:s3cret@h/d", request_log_roots="s3://b?secret_key=s3cret")
    assert "s3cret" not in repr(for_nodes(settings))
    assert for_nodes(settings).ray_address == settings.ray_address


def test_a_directory_that_others_can_change_is_refused(tmp_path):
    require_own(tmp_path)
    tmp_path.chmod(0o777)
    with pytest.raises(PermissionError, match="MLFLOW_SERVING_RAY_NODE_DIR"):
        require_own(tmp_path)


def test_a_model_that_uses_the_server_by_a_loopback_address_runs_on_no_node(tmp_path):
    backend = RayBackend(Settings(), StatePaths.create(tmp_path / "state"))
    settings = WorkerSettings(tracking="on", placement="ray", request_timeout_s=60.0)
    spec = WorkerSpec(EntityKey("e", "1"), "f", tmp_path, tmp_path / "log", settings, None)
    for uri, reason in (
        ("http://127.0.0.1:5000", "MLFLOW_SERVING_TRACKING_URI"),
        ("http://10.0.0.1", "has not answer"),
    ):
        with pytest.raises(WorkerFailedError, match=reason):
            backend.launch(replace(spec, tracking={"MLFLOW_TRACKING_URI": uri}))
