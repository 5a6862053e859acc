"""Environments really built, by uv, by conda's solver and by MLflow's own manager."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support.conda import make_channel

from mlflow_serving_plugin.environments.environments import Environments
from mlflow_serving_plugin.environments.installed import server_python
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


def test_a_disk_that_is_full_fails_the_build_in_words_and_leaves_nothing(tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", full]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("a small file system can only be mounted by root")
    try:
        with pytest.raises(BuildFailedError) as raised:
            build(full, a_model(tmp_path / "m", "mlflow\nscikit-learn\n"))
        assert raised.value.message == "The environment could not be built: no space left on the disk."
        assert [path for path in full.iterdir() if path.is_dir()] == []
    finally:
        subprocess.run(["umount", "--lazy", full], check=True)


NO_PORT = "127.0.0.1:9"
WINDOWS, MAC = "x-1.0-cp39-cp39-win_amd64.whl", "x-1.0-cp311-cp311-macosx_11_0_arm64.whl"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (f"six==1.16.0 --hash=sha256:{'0' * 64}", "six==1.16.0: the file's hash is not the one that the model names."),
        (f"git+https://{NO_PORT}/a.git", f"git+https://{NO_PORT}/a.git could not be fetched: unable to access"),
        (
            f"a @ git+https://u:pa55@{NO_PORT}/a.git@v1",
            f"a @ git+https://***@{NO_PORT}/a.git@v1 could not be fetched: ",
        ),
        (f"./code/{WINDOWS}", f"code/{WINDOWS} is not for Python"),
        (f"code/{MAC}", f"code/{MAC} is not for Python"),
        ("code/absent-1.0-py3-none-any.whl", "code/absent-1.0-py3-none-any.whl is not in the model."),
        (
            "x @ file:///absent/x-1.0-py3-none-any.whl",
            "x-1.0-py3-none-any.whl is not on the server's machine.",
        ),
    ],
)
def test_a_line_that_cannot_be_installed_is_named_with_the_cause(tmp_path, line, sentence):
    model = a_model(tmp_path / "m", f"mlflow-skinny==3.5.0\n{line}\n")
    (model / "code").mkdir()
    for wheel in (WINDOWS, MAC):
        make_wheel(model / "code" / wheel)
    with pytest.raises(BuildFailedError) as raised:
        build(tmp_path / "e", model)
    assert sentence in raised.value.message
    assert str(tmp_path) not in raised.value.message
    assert "pa55" not in raised.value.message


def make_wheel(path: Path) -> None:
    """An empty wheel of a project ``x``, with the tag in its name."""
    name, version, tag = path.stem.split("-", 2)
    about = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        wheel.writestr(f"{about}/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        wheel.writestr(f"{about}/RECORD", "")


@pytest.fixture
def index(tmp_path) -> Iterator[str]:
    """A package index that has the project ``x``; the URL, with a password in it."""
    project = tmp_path / "index" / "simple" / "x"
    project.mkdir(parents=True)
    make_wheel(project / "x-1.0-py3-none-any.whl")
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "index"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://u:pa55@127.0.0.1:{server.server_port}/simple"
        server.shutdown()


def test_what_a_model_leaves_open_is_what_it_was_logged_with_and_no_password_stays(tmp_path, index):
    """MLflow's version from mlflow-skinny, scikit-learn's from MLmodel, by conda.yaml a Python that fits."""
    pip = f"[--extra-index-url {index}, mlflow, mlflow-skinny==2.22.5, x]"
    conda = f"dependencies: ['python>=3.7.12', scikit-learn, {{pip: {pip}}}]\n"
    mlmodel = "flavors: {python_function: {loader_module: mlflow.sklearn}, sklearn: {sklearn_version: 1.5.2}}\n"
    environment = build(tmp_path / "e", a_model(tmp_path / "m", conda_yaml=conda, MLmodel=mlmodel), "auto")
    assert environment.python_version.startswith(server_python())
    assert environment.mlflow_version == "2.22.5"
    assert dict(environment.libraries)["scikit-learn"] == "1.5.2"
    assert in_environment(environment, "import importlib.metadata as m; print(m.version('x'))") == "1.0"
    texts = (path for path in (tmp_path / "e").rglob("*") if path.is_file() and path.suffix not in {".so", ".pyc"})
    assert not [path for path in texts if b"pa55" in path.read_bytes()]


def test_the_server_s_own_interpreter_serves_when_what_a_model_was_logged_with_cannot_be_had(tmp_path):
    mlmodel = "flavors: {python_function: {loader_module: mlflow.sklearn}, sklearn: {sklearn_version: 1.99}}\n"
    model = a_model(tmp_path / "m", "mlflow\nscikit-learn>=1.3\n", MLmodel=mlmodel)
    environments = Environments(Settings(), tmp_path / "e")
    recipe = environments.need(model, "auto").recipe
    found = environments.build(recipe)
    assert (found.manager, found.python, found.key) == ("local", sys.executable, recipe.key)
    assert environments.need(model, "auto").environment == found
    log = environments.log(recipe.key)
    assert log is not None
    assert "scikit-learn==1.99 does not exist." in log.read_text()


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


@pytest.mark.matrix
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


@pytest.mark.matrix
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
