"""Models that pin other versions of MLflow, of Python and of their libraries, all served by one tracking server."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support import command_line, eventually
from support.dialects import DIALECTS, Dialect
from support.models import IRIS_COLUMNS, Models, register
from support.pinned import another_python, pinned
from support.server import HTTP_S, READY_S, TrackingServer, free_port

pytestmark = pytest.mark.eras

BUILT_S = 400.0
LOOSE = "mlflow==2.22.5\nscikit-learn>=1.3\nfastapi==0.115.14\n"
"""Admits many versions of scikit-learn, for a model whose own files say which it was logged with. MLflow 2's server,
with which answers are compared, does not start on the newest FastAPI."""
ONE_ROW = {"dataframe_records": [dict.fromkeys(IRIS_COLUMNS, 1.0)]}


@pytest.fixture(scope="module")
def many(models: Models) -> Iterator[TrackingServer]:
    """Serves ``one`` (MLflow 1), ``two`` (MLflow 2, ``loose``), ``now`` (the server's own) and ``lightgbm`` (another
    Python)."""
    served = {"one": pinned("mlflow-1"), "two": loose(), "now": models.path("iris-1")}
    served["lightgbm"] = of_another_python(pinned("lightgbm"))
    with TrackingServer("uvicorn") as server:
        for name, model in served.items():
            register(server.client, name, model)
            server.enable(name)
        for name in served:
            wait_built(server, name, 1)
        yield server


def loose() -> Path:
    """A model that scikit-learn 1.4 has pickled, and that says so only in what it was logged with."""
    return with_requirements(pinned("sklearn-1.4"), LOOSE, Path(tempfile.gettempdir()))


def of_another_python(model: Path) -> Path:
    """A copy of a model that wants a Python other than this one, as MLflow writes it."""
    other = pinned(f"python-{another_python()}") / "python_env.yaml"
    version = other.read_text().split()[1]
    copy = with_requirements(model, (model / "requirements.txt").read_text(), Path(tempfile.gettempdir()))
    was = (model / "python_env.yaml").read_text().split()[1]
    for path in (copy / "MLmodel", copy / "conda.yaml"):
        path.write_text(path.read_text().replace(was, version))
    shutil.copy(other, copy)
    return copy


def wait_built(server: TrackingServer, name: str, version: int) -> None:
    """Wait until a version is READY; a FAILED one will not be."""

    def ready() -> bool:
        state = server.states(name).get(str(version))
        assert state != "FAILED", tail(server, name, version)
        return state == "READY"

    eventually(ready, within_s=BUILT_S, tail=lambda: tail(server, name, version))


def tail(server: TrackingServer, name: str, version: int) -> str:
    which = {"registered_model_name": name, "endpoint_version_name": str(version)}
    said = [server.api("GET", "list-versions", registered_model_name=name)]
    said += [server.api("POST", f"get-version-{kind}", **which)["logs"][-3000:] for kind in ("build-logs", "logs")]
    return "\n".join(map(str, [*said, server.tail()[-2000:]]))


def message_of(server: TrackingServer, name: str, version: int = 1) -> str:
    versions = server.api("GET", "list-versions", registered_model_name=name)["endpoint_versions"]
    return next(v["state_message"] for v in versions if v["endpoint_version_name"] == str(version))


def told(server: TrackingServer, name: str, words: str) -> None:
    """Wait until an event holds these words: the controller writes events after the state that they tell of."""

    def events() -> str:
        history = server.api("GET", "get-event-history", registered_model_name=name)["events"]
        return "\n".join(f"{event['event_type']}: {event['message']}" for event in history)

    eventually(lambda: words in events(), tail=events)


def version_route(server: TrackingServer, name: str, version: int = 1) -> dict:
    return server.entities(name)[str(version)]


class StockByPort:
    """``mlflow models serve`` of an environment's own MLflow. Old ones know no unix socket."""

    def __init__(self, python: str, model: str) -> None:
        self._port = free_port()
        self._log = Path(tempfile.mkdtemp(prefix="mls-")) / "log"
        # MLflow 1 cannot be run as a module.
        command = [
            python,
            "-c",
            "from mlflow.cli import cli; cli()",
            "models",
            "serve",
            "--model-uri",
            model,
            "--env-manager",
            "local",
        ]
        env = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "_MLFLOW"))}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*command, "--port", str(self._port), "--workers", "1"],
                stdout=log,
                stderr=log,
                env={**env, "PATH": f"{Path(python).parent}{os.pathsep}{env['PATH']}"},
                start_new_session=True,
            )

    def __enter__(self) -> StockByPort:
        try:
            eventually(self._answers, within_s=READY_S, tail=lambda: self._log.read_text(errors="replace")[-4000:])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._log.parent)

    def score(self, body: bytes, content_type: str) -> requests.Response:
        url = f"http://127.0.0.1:{self._port}/invocations"
        return requests.post(url, data=body, headers={"Content-Type": content_type}, timeout=HTTP_S)

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text(errors="replace")[-4000:]
        try:
            return requests.get(f"http://127.0.0.1:{self._port}/ping", timeout=5).status_code == 200
        except requests.RequestException:
            return False


def asked_of_stock(dialect: Dialect, rows, first: bool) -> Dialect:
    """The request to the environment's own server that means the same: it knows only its own generation's."""
    by_name = {d.name: d for d in DIALECTS}
    if first and dialect.name.startswith("dataframe_"):
        return by_name["pandas-" + dialect.name.removeprefix("dataframe_")]
    if not first and dialect.bare:
        same = {"legacy instances": "instances", "legacy inputs": "inputs", "legacy csv": "csv"}
        records = "records" in dialect.name or dialect.name == "list"
        return by_name[same.get(dialect.name, "dataframe_records" if records else "dataframe_split")]
    return dialect


@pytest.mark.parametrize(
    "name", ["one", "two", *(pytest.param(name, marks=pytest.mark.matrix) for name in ("now", "python"))]
)
def test_every_dialect_is_answered_as_by_the_environment_s_own_server(
    many: TrackingServer, models: Models, name: str
) -> None:
    rows = models.iris.iloc[[0, 60, 120]]
    if name == "python":
        register(many.client, name, pinned(f"python-{another_python()}"))
        many.enable(name)
        wait_built(many, name, 1)
    interpreter = sys.executable if name == "now" else json.loads(marker_of(many, name).read_text())["python"]
    with StockByPort(interpreter, version_route(many, name)["model_dir"]) as stock:
        scored = 0
        for dialect in DIALECTS:
            ours = many.score(f"{name}/1", dialect.encode(rows), dialect.content_type, **dialect.headers)
            twin = asked_of_stock(dialect, rows, first=name == "one")
            theirs = stock.score(twin.encode(rows), twin.content_type)
            assert ours.status_code == theirs.status_code, f"{dialect.name}: {ours.text} {theirs.text}"
            if theirs.status_code == 200:
                scored += 1
                predictions = theirs.json() if name == "one" else theirs.json()["predictions"]
                assert ours.json() == (predictions if dialect.bare else {"predictions": predictions}), dialect.name
    # Parquet is MLflow 3's, and MLflow 1 takes no records as ``inputs``.
    assert scored == len(DIALECTS) - {"one": 2, "two": 1}.get(name, 0)


def marker_of(server: TrackingServer, name: str) -> Path:
    """The marker of the environment that a version runs in: beside its build log."""
    return Path(version_route(server, name)["build_log"]).with_suffix(".json")


def test_each_model_runs_on_what_it_pins(many: TrackingServer) -> None:
    for name, line in {"one": "mlflow==1.30.1", "two": "mlflow==2.22.5"}.items():
        assert f"mlflow=={json.loads(marker_of(many, name).read_text())['mlflow_version']}" == line
    assert json.loads(marker_of(many, "lightgbm").read_text())["python_version"].startswith(another_python())
    assert version_route(many, "now")["build_log"] is None
    # The first event that a person reads says what it runs in, and why.
    told(many, "now", "the server's own interpreter has all")
    told(many, "lightgbm", f"the model wants Python {another_python()}")
    told(many, "one", "VERSION_READY: Serving: the model loaded and answered its own input example.")
    log = many.api("POST", "get-version-build-logs", registered_model_name="one", endpoint_version_name="1")["logs"]
    assert "mlflow==1.30.1" in log
    assert "Done: " in log


def test_a_version_with_the_same_requirements_shares_the_environment(many: TrackingServer) -> None:
    for other in ("two-again", "two"):
        before = len(list((many.state / "environments").glob("*.json")))
        version = register(many.client, other, loose())
        many.enable(other)
        wait_built(many, other, version)
        assert len(list((many.state / "environments").glob("*.json"))) == before
        assert many.score(f"{other}/{version}", ONE_ROW).json()["predictions"][0] >= 9


def test_a_broken_requirement_fails_in_words_and_a_corrected_version_recovers(
    many: TrackingServer, models: Models
) -> None:
    broken = {
        "no such version": ("scikit-learn==99.1", "scikit-learn==99.1 does not exist."),
        "no such package": ("no-such-package-zzz==1.0", "no-such-package-zzz==1.0 is not in the package index."),
        "contradiction": ("pandas==2.2.3\nnumpy==1.20.0", "numpy"),
    }
    for name, (asked, sentence) in broken.items():
        model = with_requirements(models.path("iris-1"), asked)
        register(many.client, name, model)
        many.enable(name)
        many.wait_state(name, "FAILED", 1)
        assert sentence in message_of(many, name), message_of(many, name)
        log = many.api("POST", "get-version-build-logs", registered_model_name=name, endpoint_version_name="1")["logs"]
        assert "Failed: " in log
        reply = many.score(f"{name}/1", {"dataframe_records": []})
        assert (reply.status_code, sentence in reply.json()["message"]) == (503, True)
        assert many.score("one/1", ONE_ROW).status_code == 200
    register(many.client, "no such version", models.path("iris-2"))
    wait_built(many, "no such version", 2)
    assert many.score("no such version/latest", ONE_ROW).status_code == 200


@pytest.mark.parametrize("flavor", ["lightgbm", pytest.param("onnx", marks=pytest.mark.matrix)])
def test_a_model_with_a_native_library_is_served_from_an_environment_of_its_own(
    many: TrackingServer, flavor: str
) -> None:
    if flavor != "lightgbm":
        register(many.client, flavor, pinned(flavor))
        many.enable(flavor)
        wait_built(many, flavor, 1)
    reply = many.score(f"{flavor}/1", {"inputs": {"x": [1.0, 2.0]}})
    assert reply.status_code == 200, reply.text
    assert marker_of(many, flavor).exists()
    served = Path(version_route(many, flavor)["model_dir"])
    assert (served / "extra_files" / "notes.txt").read_text() == "kept with the model"
    told(many, flavor, "answered its own input example")


def test_a_model_runs_with_the_library_that_it_was_logged_with_and_shows_what_it_runs_with(
    many: TrackingServer,
) -> None:
    ran = {}
    register(many.client, "here", loose())
    many.enable("here", env_manager="local")
    many.wait_state("here", "FAILED", 1)
    for name in ("two", "here"):
        versions = many.api("GET", "list-versions", registered_model_name=name)["endpoint_versions"]
        ran[name] = {library["name"]: library for library in versions[-1]["libraries"]}
    ours = importlib.metadata.version("scikit-learn")
    assert ran["two"]["scikit-learn"] == {
        "name": "scikit-learn",
        "logged": "1.4.2",
        "running": "1.4.2",
        "differs": False,
    }
    assert ran["here"]["scikit-learn"] == {"name": "scikit-learn", "logged": "1.4.2", "running": ours, "differs": True}
    assert f"The model was logged with scikit-learn 1.4.2, here {ours}: set env_manager to auto" in message_of(
        many, "here"
    )
    assert ran["two"]["MLflow"]["logged"] == "2.22.5"
    assert set(ran["two"]) == {"Python", "MLflow", "scikit-learn"}
    told(many, "two", "the model wants mlflow==2.22.5")
    assert many.score("two/1", ONE_ROW).json()["predictions"][0] >= 9


def test_the_stock_server_of_an_environment_serves_there_too(many: TrackingServer) -> None:
    register(many.client, "stock", loose())
    many.enable("stock", runtime="mlflow")
    wait_built(many, "stock", 1)
    assert [worker["protocol"] for worker in many.workers("stock")] == ["http"]
    assert many.score("stock/1", ONE_ROW).json()["predictions"][0] >= 9
    # MLflow 1's own server is none that a gateway can talk to, and that is said before anything is started.
    register(many.client, "old stock", pinned("mlflow-1"))
    many.enable("old stock", runtime="mlflow")
    many.wait_state("old stock", "FAILED", 1)
    assert "Set the runtime to native" in message_of(many, "old stock")


def test_code_files_and_wheels_that_come_with_a_model_are_there_in_its_environment(
    many: TrackingServer, models: Models
) -> None:
    model = with_requirements(models.path("shipped"), "mlflow\nwheels/shipped_wheel-1.0-py3-none-any.whl\n")
    register(many.client, "shipped", model)
    many.enable("shipped", env_manager="uv")
    wait_built(many, "shipped", 1)
    assert many.score("shipped/1", {"inputs": ["a"]}).json() == {"predictions": ["helped a, filed, wheeled"]}


def test_a_model_that_lacks_a_module_or_does_not_load_fails_in_words(many: TrackingServer, models: Models) -> None:
    """In an environment that is there already: the models ask for what ``lightgbm`` asks for."""
    built = len(list((many.state / "environments").glob("*.json")))
    there = of_another_python(pinned("lightgbm"))
    for name, sentence in {
        "unimportable": "add its package to the model's requirements",
        "unloadable": "ValueError: these weights are of another make",
    }.items():
        model = with_requirements(models.path(name), (there / "requirements.txt").read_text())
        shutil.copy(there / "python_env.yaml", model)
        register(many.client, name, model)
        many.enable(name)
        many.wait_state(name, "FAILED", 1)
        assert sentence in message_of(many, name), message_of(many, name)
    assert len(list((many.state / "environments").glob("*.json"))) == built


@pytest.mark.matrix
def test_a_build_that_is_killed_half_way_counts_for_nothing_and_its_installer_is_ended(models: Models) -> None:
    """kill -9 of everything but the installer; the next server ends it, builds anew and serves."""
    source = slow_package(models)
    slow = with_requirements(models.path("iris-1"), f"mlflow\nscikit-learn\n{source}\n")
    with TrackingServer("uvicorn") as server:
        register(server.client, "slow", slow)
        server.enable("slow", env_manager="uv")
        environments = server.state / "environments"
        waiting = eventually(
            lambda: [p for p in server.model_processes() if "pip" in command_line(p)], within_s=120, tail=server.tail
        )
        assert server.states("slow") == {"1": "PENDING"}
        half = [path for path in environments.iterdir() if path.is_dir()]
        assert len(half) == 1
        assert "Building the environment" in message_of(server, "slow")
        os.killpg(server.pid, signal.SIGKILL)
        eventually(server.ended)
        assert all(process.is_running() for process in waiting)
        go_on(source)
        server.start()
        eventually(lambda: not any(process.is_running() for process in waiting), tail=server.tail)
        wait_built(server, "slow", 1)
        assert not half[0].exists()
        assert server.score("slow/1", ONE_ROW).status_code == 200


@pytest.mark.matrix
def test_a_build_that_takes_too_long_fails_in_words(models: Models) -> None:
    slow = with_requirements(models.path("iris-1"), f"mlflow\nscikit-learn\n{slow_package(models)}\n")
    with TrackingServer("uvicorn", settings={"build_timeout_s": 8, "backoff_base_s": 3600}) as server:
        register(server.client, "slow", slow)
        server.enable("slow", env_manager="uv")
        server.wait_state("slow", "FAILED", 1)
        assert "The environment was not built within 8 s" in message_of(server, "slow")
        assert [p for p in server.model_processes() if "pip" in command_line(p)] == []
        register(server.client, "iris", models.path("iris-1"))
        server.enable("iris")
        server.wait_ready("iris", 1)


def slow_package(models: Models) -> Path:
    """The source of a package whose build waits until ``go_on`` for it, or for ever."""
    source = models.path("iris-1").parent / f"slow-{os.urandom(4).hex()}"
    source.mkdir()
    gate = source / "gate"
    (source / "setup.py").write_text(
        "import os, time\nfrom setuptools import setup\n"
        f"while not os.path.exists({str(gate)!r}):\n    time.sleep(0.1)\n"
        "setup(name='slow-to-build', version='1.0', py_modules=[])\n"
    )
    return source


def go_on(source: Path) -> None:
    """Let a slow package be built."""
    (source / "gate").touch()


def with_requirements(model: Path, requirements: str, beside: Path | None = None) -> Path:
    """A copy of a model that asks for something else; in ``beside``, or where the model is."""
    copy = Path(tempfile.mkdtemp(prefix="mls-", dir=beside or model.parent)) / "model"
    shutil.copytree(model, copy)
    (copy / "requirements.txt").write_text(requirements)
    return copy
