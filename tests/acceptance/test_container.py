"""The image of the deploy page, built and run by the commands of the page: a version is served, in its sandbox."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from mlflow import MlflowClient
from support import eventually
from support.image import BASE, PROGRAMS, Podman
from support.models import Models, register
from support.server import HTTP_S, START_S, free_port
from support.tree import ROOT, copy_of_the_tree

# The first test waits for the image: packages of Debian and of Python are fetched.
pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1800)]

PAGE = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
NAME = "served"

_CODE = """
class Model:
    def predict(self, data):
        return [self.tried(path) for path in data["path"]]

    def tried(self, path):
        try:
            with open(path, "rb") as file:
                file.read(1)
        except OSError as error:
            return type(error).__name__
        return "read"

def _load_pyfunc(path):
    return Model()
"""
_SECRETS = ["/var/lib/mlflow/mlflow.db", "/proc/1/environ", "/etc/shadow"]


def page_s(start: str) -> str:
    """The only command of the page that starts so, for podman, which takes the same options."""
    (found,) = re.findall(rf"^{start} .*$", PAGE, re.MULTILINE)
    return found.removeprefix("docker ")


class Container:
    """The page's container on a port of this machine, with the server in it."""

    def __init__(self, podman: Podman, root: Path) -> None:
        self.podman = podman
        self.port = free_port()
        self.log = root / "server.log"
        options = " ".join([*podman.without_asking_for_rights(), f"--name {NAME}"])
        words = page_s("docker run").replace("-p 5000:5000", options).split()
        self.process = podman.start(self.log, *words, "--app-name", "serving", "--port", str(self.port))

    @property
    def url(self) -> str:
        """Of the server."""
        return f"http://127.0.0.1:{self.port}"

    def inside(self, *command: str, ok: bool = True) -> str:
        """What a command prints in the container, as the container's user."""
        return self.podman("exec", "--env", f"MLFLOW_TRACKING_URI={self.url}", NAME, *command, ok=ok)

    def healthy(self) -> bool:
        """Whether the server answers."""
        assert self.process.poll() is None, self.tail()
        try:
            return requests.get(f"{self.url}/serving/health", timeout=HTTP_S).ok
        except requests.ConnectionError:
            return False

    def tail(self) -> str:
        """The end of what the server has said."""
        return self.log.read_text(errors="replace")[-6000:]

    def score(self, name: str, body: object) -> requests.Response:
        """What the latest version answers."""
        return requests.post(f"{self.url}/model/{name}/latest/invocations", json=body, timeout=HTTP_S)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Container]:
    """Built and started as on the page."""
    missing = [name for name in PROGRAMS if not shutil.which(name)]
    if missing or os.getuid() != 0:
        pytest.skip(f"needs root, and {', '.join(missing) or 'nothing else'} (apt-get install podman crun debootstrap)")
    podman, root = Podman(), tmp_path_factory.mktemp("container")
    try:
        podman.make_base()
        build = page_s("docker build").replace("build ", f"build --network=host --build-arg PYTHON_IMAGE={BASE} ", 1)
        podman(
            *build.replace("build ", "build --isolation=chroot --format=docker ", 1).split(),
            cwd=copy_of_the_tree(root / "tree"),
        )
        running = Container(podman, root)
        try:
            eventually(running.healthy, START_S, running.tail)
            yield running
        finally:
            podman("stop", "--time", "60", NAME, ok=False)
            running.process.wait(START_S)
    finally:
        podman.close()


def test_the_image_serves_a_version_as_a_user_without_rights_on_a_read_only_root(
    container: Container, models: Models
) -> None:
    register(MlflowClient(container.url), "iris", models.path("iris-1"))
    container.inside("mlflow-serving", "enable", "iris", "--wait", "--config", "env_manager=local")
    rows = {"dataframe_split": {"columns": list(models.iris.columns), "data": models.iris.head(2).to_numpy().tolist()}}
    assert container.score("iris", rows).json() == {"predictions": [0, 0]}
    assert container.inside("id", "-u").split() == ["10001"]
    assert "Read-only file system" in container.inside("touch", "/usr/local/x", ok=False)
    assert re.search(r"^CapEff:\s+0+$", container.inside("cat", "/proc/self/status"), re.MULTILINE)
    mounts = container.inside("cat", "/proc/mounts")
    assert re.search(r"^\S+ / \S+ ro,", mounts, re.MULTILINE), mounts


def test_a_model_in_the_container_reads_none_of_the_server_s_files(container: Container, tmp_path: Path) -> None:
    (tmp_path / "model" / "code").mkdir(parents=True)
    (tmp_path / "model" / "code" / "curious.py").write_text(_CODE)
    (tmp_path / "model" / "MLmodel").write_text(
        "flavors:\n  python_function:\n    code: code\n    loader_module: curious\nmlflow_version: 3.10.0\n"
    )
    register(MlflowClient(container.url), "curious", tmp_path / "model")
    container.inside("mlflow-serving", "enable", "curious", "--wait", "--config", "env_manager=local")
    said = container.score("curious", {"dataframe_records": [{"path": path} for path in [*_SECRETS, "/etc/hostname"]]})
    assert said.status_code == 200, said.text
    answers = dict(zip([*_SECRETS, "/etc/hostname"], said.json()["predictions"], strict=True))
    assert "read" not in [answers[path] for path in _SECRETS], answers
    # The same user, outside of the sandbox.
    container.inside("head", "-c1", "/var/lib/mlflow/mlflow.db")


def test_the_doctor_in_the_container_finds_no_error_and_the_layers_of_the_sandbox(container: Container) -> None:
    said = container.inside("mlflow-serving", "doctor")
    assert "error" not in said, said
    for layer in ("Landlock", "call filter"):
        assert re.search(rf"ok +sandbox +{layer}", said), said


def test_the_health_check_of_the_image_asks_the_server(container: Container) -> None:
    (check,) = re.findall(
        r'HEALTHCHECK .* CMD \["python", "-c", "(.*)"\]$', (ROOT / "docker/Containerfile").read_text(), re.M
    )
    container.inside("python", "-c", check.replace(":5000", f":{container.port}"))
    with pytest.raises(AssertionError):
        container.inside("python", "-c", check.replace(":5000", f":{free_port()}"))


def test_the_container_ends_with_its_server_and_leaves_no_process(container: Container) -> None:
    container.podman("stop", "--time", "60", NAME)
    assert container.process.wait(START_S) is not None
    done = subprocess.run(["pgrep", "-u", "10001"], capture_output=True, text=True, check=False)
    assert done.stdout == ""
