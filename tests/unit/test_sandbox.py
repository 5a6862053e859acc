"""What bubblewrap is told: what a sandboxed worker sees, and that there is no more."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.backends import sandbox
from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec
from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings

SETTINGS = WorkerSettings(env_manager="local", request_timeout_s=60.0, sandbox="on")
MODEL = Path("/state/models/e/1/m")


def wrapped(environ=None, *, readable=(), writable=(), **settings):
    spec = WorkerSpec(EntityKey("e", "1"), "f", MODEL, Path("/log"), replace(SETTINGS, **settings), None)
    return sandbox.sandboxed(["python", "x"], spec, environ or {}, readable=readable, writable=writable)


def shown(words):
    """What is mounted of the server's file system, and whether it may be written."""
    options = ("--ro-bind", "--ro-bind-try", "--bind")
    return {words[i + 1]: word == "--bind" for i, word in enumerate(words) if word in options}


def test_the_command_stands_at_the_end():
    words = wrapped()
    assert words[-3:] == ["--", "python", "x"]


def test_nothing_can_be_written_but_what_is_said():
    words = wrapped(readable=[Path("/state/c")], writable=[Path("/state/s")])
    assert [path for path, writable in shown(words).items() if writable] == ["/state/s"]
    assert "/state/c" in shown(words)
    remounted = [words[i + 1] for i, word in enumerate(words) if word == "--remount-ro"]
    assert remounted == ["/proc", "/"]


def test_it_sees_its_model_the_worker_s_code_and_its_interpreter():
    assert {str(MODEL), str(WORKER_PACKAGE), sys.base_prefix} <= shown(wrapped()).keys()


def test_no_directory_above_is_shown():
    for above in ("/", "/state", "/state/models", str(Path.home()), "/etc", "/tmp", "/root", "/home", "/var", "/run"):
        assert above not in shown(wrapped())


def test_of_a_virtual_environment_only_its_own_parts_are_shown():
    if sys.prefix == sys.base_prefix:
        pytest.skip("not in a virtual environment")
    assert sys.prefix not in shown(wrapped())
    assert f"{sys.prefix}/lib" in shown(wrapped())


def test_the_server_s_variables_show_where_things_are_and_the_endpoint_s_do_not():
    assert "/opt/java" in shown(wrapped({"JAVA_HOME": "/opt/java", "OTHER": "/opt/other"}))
    words = wrapped({"JAVA_HOME": "relative"}, environment={"CUDA_HOME": "/root"})
    assert not {"relative", "/root", "/opt/other"} & shown(words).keys()


def test_the_network_is_shared_unless_it_is_off():
    assert "--share-net" in wrapped()
    assert "--share-net" not in wrapped(network="off")
    assert "--unshare-all" in wrapped()


def test_what_is_written_in_memory_is_limited_as_memory_is():
    words = wrapped(memory_limit_mb=100)
    assert words.count("--size") == 2
    assert words[words.index("--size") + 1] == str(100 * 1024 * 1024)
    assert "--size" not in wrapped()


@pytest.fixture
def afresh():
    sandbox.check_sandbox.cache_clear()
    yield
    sandbox.check_sandbox.cache_clear()


@pytest.mark.usefixtures("afresh")
def test_without_bubblewrap_it_says_how_to_get_it_and_looks_again_the_next_time(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sandbox.shutil, "which", lambda _: None)
        for _ in range(2):
            with pytest.raises(WorkerFailedError) as caught:
                sandbox.check_sandbox()
            assert caught.value.message == (
                "The sandbox needs bubblewrap, which is not installed on this server. Install it (apt-get install "
                "bubblewrap, dnf install bubblewrap), or set the endpoint's sandbox to auto and its network to on."
            )


@pytest.mark.usefixtures("afresh")
def test_when_bubblewrap_may_not_it_says_what_bubblewrap_said(monkeypatch, tmp_path):
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(sandbox.shutil, "which", lambda _: str(refusing))
    with pytest.raises(WorkerFailedError) as caught:
        sandbox.check_sandbox()
    assert "bubblewrap: bwrap: No permissions to create new namespace. Allow user namesp" in caught.value.message


def test_an_interpreter_that_cannot_be_asked_is_a_reason():
    with pytest.raises(WorkerFailedError, match="did not report"):
        sandbox._of_python("/no/such/python")


def test_a_network_that_is_off_without_the_sandbox_is_refused_rather_than_on(tmp_path):
    settings = replace(SETTINGS, sandbox="off", network="off")
    backend = LocalBackend(Settings(), StatePaths.create(tmp_path))
    with pytest.raises(WorkerFailedError, match="only in the sandbox"):
        backend.launch(WorkerSpec(EntityKey("e", "1"), "f", MODEL, Path("/log"), settings, None))
