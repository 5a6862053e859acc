"""The deploy page taken step by step, as a new user takes it, from an empty directory to a backup that is restored.

Every block is used as it stands there; only names of hosts, ports, directories and passwords are replaced.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import requests
from support import eventually, processes_about
from support.postgres import Postgres, postgres_binaries
from support.server import START_S, free_port
from support.tree import ROOT, copy_of_the_tree

PAGE = (ROOT / "docs" / "how-to" / "deploy.md").read_text()
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text()
PREDICTION = '{"predictions": [0]}'

# pip fetches and unpacks some hundred packages first.
pytestmark = [pytest.mark.matrix, pytest.mark.timeout(1800)]


def block(text: str, page: str = PAGE) -> str:
    """The only block of a page that holds the text."""
    (found,) = [one for one in re.findall(r"^```\w*\n(.*?)^```", page, re.DOTALL | re.MULTILINE) if text in one]
    return found


class Deployment:
    """A machine's worth of directories and ports, and the programs that run there."""

    def __init__(self, nginx: str, postgres: Postgres, database_port: int) -> None:
        self.root = Path(tempfile.mkdtemp(prefix="mls-"))
        self.postgres, self._nginx_program = postgres, nginx
        self.proxy_port, self.store_port = free_port(), free_port()
        port = free_port()
        self._replaced = {
            "python3 ": f"{sys.executable} ",
            "/srv/mlflow": f"{self.root}/srv",
            "/etc/mlflow": f"{self.root}/etc",
            "/var/lib/mlflow": f"{self.root}/lib",
            "/etc/ssl/mlflow": f"{self.root}/etc/tls",
            "http://localhost:5000": f"https://localhost:{self.proxy_port}/mlflow",
            "https://mlflow.example.org": f"https://localhost:{self.proxy_port}",
            "--allowed-hosts mlflow.example.org": f"--allowed-hosts localhost:{self.proxy_port}",
            "server_name mlflow.example.org": "server_name localhost",
            "listen 443": f"listen {self.proxy_port}",
            "db.example.org:5432": f"localhost:{database_port}",
            "https://s3.example.org": f"http://127.0.0.1:{self.store_port}",
            "127.0.0.1:5000": f"127.0.0.1:{port}",
            "--port 5000": f"--port {port}",
            "runuser -u mlflow -- ": "",
            "=SECRET_KEY": f"={secrets.token_hex(32)}",
            "=SECRET\n": "=anything\n",
            "DB_PASSWORD": secrets.token_hex(16),
            "=ADMIN_PASSWORD": "=" + secrets.token_hex(16),
        }
        for name in ("etc", "lib", "user", "nginx"):
            (self.root / name).mkdir()
        self._programs: list[subprocess.Popen[bytes]] = []
        self.server: subprocess.Popen[bytes] | None = None
        self.doctor_before = self.doctor_after = self.first_answer = ""

    def text(self, text: str, page: str = PAGE) -> str:
        """A block with what every user replaces."""
        found = block(text, page)
        for old, new in self._replaced.items():
            found = found.replace(old, new)
        return found

    def shell(self, script: str, cwd: Path | None = None, **environ: str) -> str:
        """What a shell prints that runs a block as it stands, errors too; it must succeed."""
        done = subprocess.run(
            ["bash", "-ec", script],
            cwd=cwd or self.root / "user",
            env=self._environ(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1200,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}\n{self.tail()}"
        return done.stdout

    def start(self, name: str, *command: str | Path, **environ: str) -> subprocess.Popen[bytes]:
        """Start a program that runs until the end; its log is ``<name>.log``."""
        with (self.root / f"{name}.log").open("ab") as log:
            started = subprocess.Popen(
                command,
                cwd=self.root / "lib",
                stdout=log,
                stderr=log,
                env=self._environ(environ),
                start_new_session=True,
            )
        self._programs.append(started)
        return started

    def start_server(self) -> None:
        """What systemd does with the unit, and wait until the server answers through nginx."""
        unit = self.text("ExecStart")
        command = re.search(r"ExecStart=((?:.*\\\n)*.*)\n", unit)[1].replace("\\\n", " ")
        environment = re.search(r"EnvironmentFile=(.*)\n", unit)[1]
        script = f"set -a; . {environment}; set +a; exec {command}"
        self.server = self.start("server", "bash", "-c", script)
        eventually(lambda: self.answers("/serving/health"), START_S, tail=self.tail)

    def psql(self, statements: str, database: str = "postgres") -> str:
        """What ``psql`` prints, as the superuser."""
        script = f"psql -v ON_ERROR_STOP=1 {database} <<'SQL'\n{statements}\nSQL"
        return self.shell(script, **self.postgres.environ())

    def bucket(self) -> Any:
        """The bucket of the page."""
        store = boto3.resource(
            "s3",
            endpoint_url=f"http://127.0.0.1:{self.store_port}",
            aws_access_key_id="KEY",
            aws_secret_access_key="anything",
            region_name="us-east-1",
        )
        return store.Bucket("mlflow")

    def stop_server(self) -> None:
        """As systemd does: SIGTERM to all of it."""
        os.killpg(self.server.pid, signal.SIGTERM)
        self.server.wait(START_S)

    def start_nginx(self) -> None:
        """nginx with the page's file, and nothing else but where nginx may write."""
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
                *("-addext", "subjectAltName=DNS:localhost"),
                *("-keyout", self.root / "etc" / "tls.key", "-out", self.certificate),
            ],
            check=True,
            capture_output=True,
        )
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        paths = "\n".join(f"{kind}_temp_path {self.root}/nginx/{kind};" for kind in kinds)
        user = "user root;" if os.getuid() == 0 else ""
        configuration = self.root / "nginx.conf"
        configuration.write_text(
            f"{user}\ndaemon off;\npid {self.root}/nginx/pid;\nevents {{}}\n"
            f"http {{\naccess_log off;\n{paths}\n{self.text('listen 443')}\n}}\n"
        )
        self.start("nginx", self._nginx_program, "-e", "stderr", "-c", configuration)

    def answers(self, path: str) -> bool:
        """Whether this path answers with success through nginx."""
        assert self.server is None or self.server.poll() is None, self.tail()
        try:
            return requests.get(self.url + path, verify=str(self.certificate), timeout=10).ok
        except requests.ConnectionError:
            return False

    @property
    def url(self) -> str:
        """Of the server, for its users."""
        return f"https://localhost:{self.proxy_port}/mlflow"

    @property
    def certificate(self) -> Path:
        """Of nginx."""
        return self.root / "etc" / "tls.pem"

    def as_user(self, script: str) -> str:
        """What the page's block for a user on another machine prints, after the block with the address."""
        exports = "\n".join(line for line in self.text("TRACKING_PASSWORD").splitlines() if line.startswith("export"))
        certificate = str(self.certificate)
        return self.shell(
            f"{exports}\n{script}", CURL_CA_BUNDLE=certificate, REQUESTS_CA_BUNDLE=certificate, HOME=f"{self.root}/user"
        )

    def tail(self) -> str:
        """The end of the server's log."""
        log = self.root / "server.log"
        return log.read_text(errors="replace")[-6000:] if log.exists() else "(no log)"

    def close(self) -> None:
        """End everything, and see that nothing is left."""
        for program in reversed(self._programs):
            if program.poll() is None:
                os.killpg(program.pid, signal.SIGTERM)
                program.wait(START_S)
        try:
            eventually(lambda: not processes_about(self.root), tail=lambda: f"{processes_about(self.root)}")
        finally:
            for process in processes_about(self.root):
                process.kill()
            shutil.rmtree(self.root)

    def _environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        ours = ("MLFLOW_", "_MLFLOW", "PYTEST", "PYTHON")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        path = f"{self.root}/srv/bin{os.pathsep}{self.postgres.environ()['PATH']}"
        return inherited | {"PATH": path, "MLFLOW_DISABLE_TELEMETRY": "true"} | environ


@pytest.fixture(scope="module")
def deployed() -> Iterator[Deployment]:
    """A server as the page makes it, with the tutorial's model enabled."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    binaries = postgres_binaries()
    if nginx is None or binaries is None:
        pytest.skip("needs nginx and PostgreSQL (apt-get install nginx-light postgresql)")
    port = free_port()
    with Postgres(binaries, port) as postgres:
        deployment = Deployment(nginx, postgres, port)
        try:
            set_up(deployment)
            yield deployment
        finally:
            deployment.close()


def set_up(here: Deployment) -> None:
    """From "Install" to "The first model"."""
    tree = copy_of_the_tree(here.root / "tree")
    # Only root may make a user.
    here.shell(re.sub("^useradd.*\n", "", here.text("python3 -m venv")), tree)
    here.psql(here.text("CREATE ROLE"))
    here.start("store", Path(sys.executable).parent / "moto_server", "-p", str(here.store_port))
    bucket = here.bucket()
    eventually(lambda: listens(here.store_port))
    bucket.create()
    (here.root / "etc" / "environment").write_text(here.text("MLFLOW_BACKEND_STORE_URI="))
    (here.root / "etc" / "auth.ini").write_text(here.text("default_permission"))
    here.start_nginx()
    before = "\n".join(line for line in here.text("runuser").splitlines() if "systemctl" not in line)
    here.doctor_before = here.shell(before)
    here.start_server()
    here.doctor_after = here.as_user(here.text("doctor --remote"))
    here.as_user(f"python - <<'PROGRAM'\n{here.text('log_model', TUTORIAL)}\nPROGRAM")
    here.first_answer = here.as_user(here.text("enable flowers"))


def listens(port: int) -> bool:
    """Whether somebody accepts connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_doctor_finds_no_error_before_the_start_and_behind_the_proxy(deployed: Deployment) -> None:
    for said in (deployed.doctor_before, deployed.doctor_after):
        assert "error" not in said, said
        assert "basic-auth" in said, said
    assert "warning" not in deployed.doctor_after, deployed.doctor_after


def test_a_token_scores_the_first_model_through_tls_and_prefix(deployed: Deployment) -> None:
    assert deployed.first_answer.splitlines()[-1] == PREDICTION
    assert "Serving is on" in (deployed.root / "server.log").read_text()
    anonymous = requests.get(f"{deployed.url}/model/flowers/latest/ping", verify=str(deployed.certificate), timeout=30)
    assert anonymous.status_code == 401


def test_models_lie_in_the_bucket_and_tables_in_the_databases(deployed: Deployment) -> None:
    assert [one.key for one in deployed.bucket().objects.all() if one.key.endswith("MLmodel")]
    assert "serving_" in deployed.psql("\\dt", "mlflow")
    assert "users" in deployed.psql("\\dt", "mlflow_auth")
    assert not [path for path in deployed.root.rglob("*.db") if path.name != "history.db"]


def test_three_web_workers_agree_on_what_is_served(deployed: Deployment) -> None:
    here = psutil.Process(deployed.server.pid)
    web = [p for p in here.children(recursive=True) if "multiprocessing.spawn" in " ".join(p.cmdline())]
    assert len(web) == 3, [p.cmdline() for p in here.children(recursive=True)]
    address = f"{deployed.url}/model/flowers/1/ping"
    (token,) = re.findall(r"^mlsp_\S+", deployed.as_user("mlflow-serving token create --model flowers"), re.MULTILINE)
    for _ in range(30):
        answer = requests.get(
            address, headers={"Authorization": f"Bearer {token}"}, verify=str(deployed.certificate), timeout=30
        )
        assert answer.status_code == 200, answer.text


def test_a_backup_that_is_restored_serves_what_was_enabled(deployed: Deployment) -> None:
    environ = deployed.postgres.environ()
    deployed.shell(deployed.text("pg_dump"), **environ)
    deployed.stop_server()
    create = "\n".join(line for line in deployed.text("CREATE ROLE").splitlines() if "DATABASE" in line)
    deployed.psql(f"DROP DATABASE mlflow; \nDROP DATABASE mlflow_auth;\n{create}")
    shutil.rmtree(deployed.root / "lib" / "serving")
    deployed.shell(deployed.text("pg_restore"), **environ)
    deployed.start_server()
    score = deployed.text("enable flowers").split("\n", 1)[1]
    waited = "mlflow-serving enable flowers --wait\n"
    assert "Ready" in deployed.as_user(waited + "mlflow-serving status flowers")
    assert deployed.as_user(score).splitlines()[-1] == PREDICTION
