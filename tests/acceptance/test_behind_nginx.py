"""The nginx example of the docs, as it stands there but for names and ports, in front of a server."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from support import eventually
from support.cells import IRIS
from support.doctor import doctor_of
from support.server import TrackingServer, free_port

MB = 1024 * 1024
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "server.md"
NAME = "server.test"
_MAIN = """
{user}
daemon off;
pid {root}/pid;
error_log {root}/error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {root}/body;
    proxy_temp_path {root}/proxy;
    fastcgi_temp_path {root}/fastcgi;
    uwsgi_temp_path {root}/uwsgi;
    scgi_temp_path {root}/scgi;
    {server}
}}
"""


def example(**replacements: str) -> str:
    """The server of the docs; every replacement must be there."""
    text = re.search(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)[1]
    for old, new in replacements.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def nginx(root: Path, server: TrackingServer, leave_out: str = "nothing") -> Iterator[str]:
    """The address of nginx with the example's configuration, without the lines that match ``leave_out``.

    nginx's limit of bodies is above the server's, so that the server's can be seen.
    """
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        pytest.skip("no nginx on this machine (apt-get install nginx-light)")
    port, key, certificate = free_port(), root / "key.pem", root / "cert.pem"
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", f"/CN={NAME}", *files],
        check=True,
        capture_output=True,
    )
    text = example(
        **{
            "443": f"127.0.0.1:{port}",
            "mlflow.example.org": NAME,
            "/etc/ssl/mlflow.pem": str(certificate),
            "/etc/ssl/mlflow.key": str(key),
            "http://127.0.0.1:5000": server.url,
            "client_max_body_size 16m": "client_max_body_size 64m",
        }
    )
    text = "\n".join(line for line in text.splitlines() if not re.search(leave_out, line))
    configuration = root / "nginx.conf"
    user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
    configuration.write_text(_MAIN.format(root=root, user=user, server=text))
    with (root / "out").open("wb") as out:
        process = subprocess.Popen([program, "-p", str(root), "-c", str(configuration)], stdout=out, stderr=out)
    url = f"https://127.0.0.1:{port}"
    try:
        eventually(lambda: answers(url), tail=lambda: (root / "out").read_text() + (root / "error.log").read_text())
        yield url
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def proxied(plain: TrackingServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of nginx as the docs have it."""
    with nginx(tmp_path_factory.mktemp("nginx"), plain) as url:
        yield url


def answers(url: str) -> bool:
    """Whether nginx is there."""
    try:
        return ask("GET", f"{url}/serving/health").status_code == 200
    except requests.ConnectionError:
        return False


def ask(method: str, url: str, **options: object) -> requests.Response:
    """A request under the name of the example."""
    headers = {"Host": NAME, **options.pop("headers", {})}
    return requests.request(method, url, headers=headers, verify=False, timeout=60, **options)


pytestmark = pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")


def test_models_are_scored_and_the_control_api_answers_behind_nginx(proxied: str) -> None:
    scored = ask("POST", f"{proxied}/model/iris/1/invocations", json=IRIS)
    assert scored.status_code == 200, scored.text
    listed = ask("GET", f"{proxied}/api/2.0/mlflow/endpoints/list", headers={"Origin": f"https://{NAME}"})
    assert listed.status_code == 200, listed.text
    assert ask("GET", f"{proxied}/health").status_code == 200


def test_a_body_that_is_too_large_gets_its_413_behind_nginx(proxied: str) -> None:
    refused = ask(
        "POST",
        f"{proxied}/model/iris/1/invocations",
        data=b"[" + b" " * 20 * MB + b"]",
        headers={"Content-Type": "application/json"},
    )
    assert refused.status_code == 413, refused.text
    assert refused.json()["error_code"] == "REQUEST_TOO_LARGE"


def test_the_doctor_finds_nothing_wrong_with_the_proxy_of_the_docs(proxied: str) -> None:
    checks = {check["check"]: check["status"] for check in doctor_of(proxied, MLFLOW_TRACKING_INSECURE_TLS="true")}
    assert checks["proxy: body"] == "ok"
    assert not {"proxy: Host", "proxy: scheme", "proxy: client"} & checks.keys()
    assert {checks[name] for name in ("reachable", "controller", "Serving tab", "browser")} == {"ok"}


def test_the_doctor_names_each_line_that_a_proxy_lacks(plain: TrackingServer, tmp_path: Path) -> None:
    with nginx(tmp_path, plain, leave_out="proxy_set_header (Host|X-)|client_max_body_size") as url:
        checks = {check["check"]: check for check in doctor_of(url, MLFLOW_TRACKING_INSECURE_TLS="true")}
    assert "proxy_set_header X-Forwarded-Proto" in checks["proxy: scheme"]["advice"]
    assert "proxy_set_header X-Forwarded-For" in checks["proxy: client"]["advice"]
    assert "client_max_body_size 16m" in checks["proxy: body"]["advice"]


def test_the_doctor_says_that_a_certificate_is_not_trusted(proxied: str) -> None:
    (check,) = doctor_of(proxied)
    assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in check["found"]
