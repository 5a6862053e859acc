"""How installers are started, what conda is asked for, and which environments are removed."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.native import Native
from mlflow_serving_plugin.backends.stock import Stock
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments import builders, ready
from mlflow_serving_plugin.environments.builders import python_for
from mlflow_serving_plugin.environments.conda import channels_of, conda_command
from mlflow_serving_plugin.environments.ready import Environment, own_environment
from mlflow_serving_plugin.environments.run import BuildFailedError, without_credentials
from mlflow_serving_plugin.settings import Settings

SECRETS = [
    "MLFLOW_FLASK_SERVER_SECRET_KEY",
    "AWS_SECRET_ACCESS_KEY",
    "DATABASE_URL",
    "MLFLOW_TRACKING_URI",
    "PGPASSWORD",
]


@pytest.mark.parametrize("name", SECRETS)
def test_a_package_that_is_built_sees_no_secret_of_the_server(name):
    assert name not in builders.build_environment({name: "x", "HOME": "/h"}, Settings())


def test_settings_become_the_installers_own_variables():
    settings = Settings(
        index_url="https://u:p@i/simple", extra_index_urls="https://x/simple", constraints_file="/c.txt", offline=True
    )
    env = builders.build_environment({"UV_DEFAULT_INDEX": "https://other", "PATH": "/bin"}, settings)
    assert env["UV_DEFAULT_INDEX"] == env["PIP_INDEX_URL"] == "https://u:p@i/simple"
    assert env["UV_INDEX"] == "https://x/simple"
    assert env["UV_CONSTRAINT"] == "/c.txt"
    assert (env["UV_OFFLINE"], env["UV_PYTHON_DOWNLOADS"]) == ("1", "never")
    assert env["PATH"] == "/bin"


def test_a_server_that_is_set_up_for_pip_is_set_up_for_uv():
    pip = {"PIP_INDEX_URL": "https://i/simple", "PIP_EXTRA_INDEX_URL": "https://x", "PIP_CERT": "/ca.pem"}
    env = builders.build_environment(pip, Settings())
    assert (env["UV_DEFAULT_INDEX"], env["UV_INDEX"], env["SSL_CERT_FILE"]) == (
        "https://i/simple",
        "https://x",
        "/ca.pem",
    )
    assert builders.build_environment({**pip, "UV_DEFAULT_INDEX": "u"}, Settings())["UV_DEFAULT_INDEX"] == "u"


def test_index_urls_are_on_no_command_line():
    words = builders.uv_install(Path("/e/bin/python"), Path("/r.txt"), Path("/c.txt"), only_binary=(":all:",))
    assert not any("://" in word or "index" in word for word in words)
    assert words[-2:] == ["--only-binary", ":all:"]


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Failed to fetch https://user:p%40ss@host/simple/six/", "Failed to fetch https://***@host/simple/six/"),
        ("git+https://token@host/r and http://a:b@c", "git+https://***@host/r and http://***@c"),
        ("me@example.org https://host/a@b", "me@example.org https://host/a@b"),
    ],
)
def test_credentials_of_urls_reach_no_log(said, kept):
    assert without_credentials(said) == kept


def test_conda_s_default_channels_are_spelled_out_for_rattler_and_left_to_conda():
    assert channels_of([], for_rattler=True) == ("conda-forge",)
    assert channels_of(["defaults", "nodefaults", "file:///c"], for_rattler=True)[-1] == "file:///c"
    assert all("://" in channel for channel in channels_of(["defaults"], for_rattler=True))
    assert channels_of(["defaults"], for_rattler=False) == ("defaults",)


def test_rattler_is_preferred_then_whatever_conda_is_on_path_and_nothing_is_said_clearly():
    def command(programs, *, rattler):
        return conda_command(
            Path("/p"),
            ["python=3.11", "gdal"],
            ["file:///c", "c"],
            offline=True,
            has_rattler=lambda: rattler,
            which=programs.get,
        )

    ours = command({"conda": "/bin/conda"}, rattler=True)
    assert ours[:2] == [sys.executable, "-m"]
    assert json.loads(ours[-1]) == {"prefix": "/p", "specs": ["python=3.11", "gdal"], "channels": ["file:///c"]}
    theirs = command({"conda": "/bin/conda", "mamba": "/bin/mamba"}, rattler=False)
    assert theirs[:2] == ["/bin/mamba", "create"]
    assert "--offline" in theirs
    with pytest.raises(BuildFailedError, match="offline"):
        conda_command(Path("/p"), ["python"], ["c"], offline=True, has_rattler=lambda: True)
    with pytest.raises(BuildFailedError, match=r"\(gdal\).*\[conda\]"):
        command({}, rattler=False)


def test_a_python_is_the_server_s_or_pyenv_s_newest_or_left_for_uv_to_find(tmp_path):
    assert python_for(f"{sys.version_info.major}.{sys.version_info.minor}", {}) in {
        sys.executable,
        sys._base_executable,
    }
    for version in ("3.6.9", "3.6.15", "3.6.2", "3.60.1"):
        python = tmp_path / "versions" / version / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch(0o700)
    assert python_for("3.6", {"PYENV_ROOT": str(tmp_path)}) == str(tmp_path / "versions/3.6.15/bin/python")
    assert python_for("3.7", {"PYENV_ROOT": str(tmp_path), "HOME": "/nowhere"}) == "3.7"


def an_environment(root, key, size, used_at):
    directory = root / f"{key}-1"
    directory.mkdir()
    environment = Environment(key, "uv", sys.executable, "3.11", "3", size_bytes=size, directory=str(directory))
    ready.mark_ready(root, environment)
    os.utime(ready.marker_path(root, key), (used_at, used_at))
    return environment


def test_the_least_recently_used_environments_go_and_none_in_use(tmp_path):
    for key, used_at in (("a", 1), ("b", 2), ("c", 3), ("d", 4)):
        an_environment(tmp_path, key, 10, used_at)

    def surplus(limit, *in_use):
        return [environment.key for environment in ready.surplus(tmp_path, in_use, limit, now=5000.0)]

    assert surplus(40) == []
    assert surplus(25) == ["b", "a"]
    assert surplus(25, "a") == ["c", "b"]
    assert surplus(0, "a", "d") == ["c", "b"]
    (removed,) = ready.surplus(tmp_path, ("b", "c", "d"), 0, now=5000.0)
    # Whoever else shares the directory has just used it.
    ready.mark_used(tmp_path, "a")
    assert surplus(0) == ["d", "c", "b"]
    ready.remove(tmp_path, removed)
    assert ready.find_ready(tmp_path, "a") is None
    assert not (tmp_path / "a-1").exists()


def test_an_environment_that_another_server_has_just_evicted_cannot_be_marked_used_again(tmp_path):
    ready.remove(tmp_path, an_environment(tmp_path, "a", 10, 1))
    ready.mark_used(tmp_path, "a")
    assert list(tmp_path.glob("*.json")) == []


def test_only_a_marker_makes_an_environment_ready(tmp_path):
    an_environment(tmp_path, "a", 10, 1)
    (tmp_path / "b-12345678").mkdir()
    ready.marker_path(tmp_path, "damaged").write_text("{")
    assert ready.find_ready(tmp_path, "a") is not None
    assert ready.find_ready(tmp_path, "b") is None
    assert ready.find_ready(tmp_path, "damaged") is None
    assert ready.unmarked(tmp_path) == [tmp_path / "b-12345678"]


@pytest.mark.parametrize(
    ("runtime", "python", "mlflow", "sentence"),
    [
        ("native", "3.8.18", "1.30.1", None),
        ("native", "3.11.7", "3.17.2", None),
        ("mlflow", "3.7.1", "2.21.0", None),
        ("native", "3.11.7", "", "Add mlflow to the model's requirements"),
        ("native", "3.7.16", "1.30.1", "The model pins Python 3.7.16"),
        ("native", "3.8.18", "1.19.0", "The model pins MLflow 1.19.0"),
        ("mlflow", "3.8.18", "2.20.4", "Set the runtime to native"),
    ],
)
def test_a_runtime_that_cannot_serve_in_an_environment_says_what_to_do(runtime, python, mlflow, sentence):
    environment = replace(own_environment(), python_version=python, mlflow_version=mlflow)
    settings = WorkerSettings(runtime=runtime, env_manager="uv", request_timeout_s=60.0)
    spec = WorkerSpec(EntityKey("e", "1"), "f", Path("/m"), Path("/l"), settings, None, environment)
    reason = (Stock(Settings()) if runtime == "mlflow" else Native(Settings(), None)).refuses(spec)
    assert (reason is None) if sentence is None else (sentence in reason)
