"""Environments really built, by uv, by conda's solver and by MLflow's own manager."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.conda import make_channel

from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.environments.ready import Environment
from mlflow_serving_plugin.environments.run import BuildFailedError
from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.settings import Settings

pytestmark = pytest.mark.eras


def a_model(directory: Path, requirements: str = "mlflow\n", **files: str) -> Path:
    """What of a model matters here."""
    directory.mkdir(parents=True)
    (directory / "MLmodel").write_text("flavors: {python_function: {}}\n")
    (directory / "requirements.txt").write_text(requirements)
    for name, content in files.items():
        (directory / name.replace("_yaml", ".yaml")).write_text(content)
    return directory


def build(root: Path, model: Path, manager: str = "uv", **settings: object) -> Environment:
    """The environment of a model, built for it."""
    environments = Environments(Settings(**settings), root)
    return environments.build(environments.need(model, manager).recipe)


def in_environment(environment: Environment, code: str) -> str:
    """What code prints there."""
    return subprocess.check_output([environment.python, "-c", code], text=True, timeout=120).strip()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    path = tmp_path_factory.mktemp("environments")
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_an_environment_is_built_once_however_many_ask_at_the_same_time(root, tmp_path):
    models = [a_model(tmp_path / str(n), "mlflow-skinny==3.5.0\nsix==1.16.0\n") for n in range(3)]
    found: list[Environment] = []
    threads = [threading.Thread(target=lambda m=m: found.append(build(root, m))) for m in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(300)
    assert len({environment.directory for environment in found}) == 1
    assert len(found) == 3
    assert in_environment(found[0], "import six; print(six.__version__)") == "1.16.0"
    # The scoring server is in the whole of MLflow, of the very version that was asked for.
    assert found[0].mlflow_version == "3.5.0"
    environments = Environments(Settings(), root)
    assert environments.need(models[0], "uv").environment == found[0]
    log = environments.log(found[0].key)
    assert log is not None
    assert "six==1.16.0" in log.read_text()


def test_a_failed_build_leaves_its_log_and_nothing_else_and_no_password_in_it(root, tmp_path):
    before = {path for path in root.iterdir() if path.is_dir()}
    model = a_model(tmp_path / "m", "no-such-package-zzz==1\n")
    url = "http://user:pa55word@127.0.0.1:9/simple"
    environments = Environments(Settings(index_url=url), root)
    recipe = environments.need(model, "uv").recipe
    with pytest.raises(BuildFailedError) as raised:
        environments.build(recipe)
    assert "could not be reached" in raised.value.message
    assert "pa55word" not in raised.value.message
    log = environments.log(recipe.key)
    assert log is not None
    assert "127.0.0.1:9" in log.read_text()
    assert "pa55word" not in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    assert {path for path in root.iterdir() if path.is_dir()} == before


def test_offline_says_what_is_not_there(tmp_path):
    model = a_model(tmp_path / "m", "no-such-package-zzz==1\n")
    with pytest.raises(BuildFailedError, match="no-such-package-zzz"):
        build(tmp_path / "e", model, offline=True)


def test_environments_above_the_size_limit_are_removed_but_none_in_use_or_used_just_now(tmp_path):
    model = a_model(tmp_path / "m", "mlflow-skinny==3.5.0\nsix==1.16.0\n")
    root = tmp_path / "e"
    built = build(root, model)
    assert built.size_bytes > 1_000_000
    environments = Environments(Settings(environments_max_bytes=0), root)
    assert environments.evict([]) == []
    os.utime(root / f"{built.key}.json", (1, 1))
    assert environments.evict([built.key]) == []
    assert environments.evict([]) == [built]
    assert not Path(built.directory).exists()
    assert environments.need(model, "uv").environment is None


def test_a_directory_that_cannot_be_used_is_said_with_the_setting_s_name(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="MLFLOW_SERVING_ENVIRONMENTS_DIR"):
        Environments(Settings(environments_dir=str(tmp_path / "file" / "below")), tmp_path)


def test_the_server_s_constraints_count(tmp_path):
    (tmp_path / "c.txt").write_text("six==1.15.0\n")
    model = a_model(tmp_path / "m", "mlflow\nsix\n")
    environment = build(tmp_path / "e", model, constraints_file=str(tmp_path / "c.txt"))
    assert in_environment(environment, "import six; print(six.__version__)") == "1.15.0"


def test_a_cancelled_build_ends_with_its_installer(tmp_path):
    source = tmp_path / "slow"
    source.mkdir()
    (source / "setup.py").write_text("import time\nopen('begun', 'w')\nwhile True: time.sleep(0.1)\n")
    environments = Environments(Settings(), tmp_path / "e")
    recipe = environments.need(a_model(tmp_path / "m", f"mlflow\n{source}\n"), "uv").recipe
    raised: list[BaseException] = []

    def run() -> None:
        try:
            environments.build(recipe)
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while not list(tmp_path.glob("e/*/process.json")) and thread.is_alive():
        thread.join(0.05)
    environments.cancel()
    thread.join(30)
    assert isinstance(raised[0], BuildFailedError)
    assert raised[0].message == "The controller is stopping."
    assert not [path for path in (tmp_path / "e").iterdir() if path.is_dir()]


def test_conda_s_packages_are_solved_and_installed_with_pip_s_beside_them(tmp_path):
    channel = make_channel(tmp_path / "channel")
    conda = f"channels: ['{channel}']\ndependencies: [python, words>=1, {{pip: [mlflow, six==1.16.0]}}]\n"
    model = a_model(tmp_path / "m", conda_yaml=conda)
    environments = Environments(Settings(), tmp_path / "e")
    need = environments.need(model, "auto")
    assert need.recipe.manager == "conda"
    environment = environments.build(need.recipe)
    prefix = Path(environment.python).parent.parent
    assert (prefix / "share" / "words" / "greeting.txt").read_text() == "hello from conda\n"
    assert in_environment(environment, "import mlflow, six; print(six.__version__)") == "1.16.0"
    assert environment.mlflow_version
    log = environments.log(need.recipe.key)
    assert log is not None
    assert "+ words 1.0" in log.read_text()


def test_a_conda_package_that_no_channel_has_is_named(tmp_path):
    channel = make_channel(tmp_path / "channel")
    conda = f"channels: ['{channel}']\ndependencies: [python, no-such-words=9]\n"
    with pytest.raises(BuildFailedError, match="no-such-words"):
        build(tmp_path / "e", a_model(tmp_path / "m", conda_yaml=conda), "auto")


@pytest.mark.skipif(shutil.which("pyenv") is None, reason="MLflow's virtualenv manager needs pyenv")
def test_mlflow_s_own_manager_builds_for_those_who_have_pyenv(tmp_path):
    version = ".".join(map(str, sys.version_info[:3]))
    if not (Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions" / version).exists():
        pytest.skip(f"pyenv has no Python {version}")
    files = {
        "python_env_yaml": f"python: {version}\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n",
        "conda_yaml": f"dependencies: [python={version}, pip]\n",
        "MLmodel": "flavors: {python_function: {env: {virtualenv: python_env.yaml, conda: conda.yaml}}}\n",
    }
    model = a_model(tmp_path / "m", "six==1.16.0\n", **files)
    environment = build(tmp_path / "e", model, "virtualenv")
    assert in_environment(environment, "import mlflow, six; print(six.__version__)") == "1.16.0"
