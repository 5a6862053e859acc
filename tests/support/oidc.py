"""A real ``oidc-auth`` server, the OpenID provider that its users sign in with, and the environment of both.

mlflow-oidc-auth pins other versions of what MLflow stands on than MLflow's own newest, so it is installed beside
the tests' environment and not into it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import mlflow
import requests

from support import eventually
from support.auth import basic
from support.server import HTTP_S, START_S, TrackingServer, free_port

OLDEST_PYTHON = (3, 11)
"""Of mlflow-oidc-auth."""

# From 10.2 on it says that Python 3.11 will do, but cannot be imported there.
VERSION = "11.0.2" if sys.version_info >= (3, 12) else "10.1.3"
PACKAGES = (f"mlflow-oidc-auth=={VERSION}", "oidc-provider-mock==0.3.4", f"mlflow=={mlflow.__version__}")

ADMIN = "admin@example.com"
_USERS = "/api/2.0/mlflow/users"
_GRANTS = "/api/2.0/mlflow/permissions/users"


@contextlib.contextmanager
def oidc_environment() -> Iterator[str]:
    """The interpreter of a new environment with mlflow-oidc-auth, which has all else from the present one."""
    root = Path(tempfile.mkdtemp(prefix="mls-oidc-"))
    try:
        python = root / "bin" / "python"
        _run("uv", "venv", "--quiet", "--python", sys.executable, str(root))
        others = root / "others.txt"
        others.write_text("\n".join(_what_differs(root)))
        _run("uv", "pip", "install", "--quiet", "--no-deps", "--python", str(python), "--requirements", str(others))
        site_packages = next((root / "lib").glob("python*/site-packages"))
        present = sysconfig.get_path("purelib")
        (site_packages / "present.pth").write_text(f"import site; site.addsitedir({present!r})\n")
        yield str(python)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def _what_differs(root: Path) -> list[str]:
    """The packages of mlflow-oidc-auth, ``name==version``, that the present environment has not in that version.

    Whatever may stay as it is stays: a new copy of MLflow would have to be compiled first.
    """
    present = set(_run("uv", "pip", "freeze", "--python", sys.executable, "--exclude-editable").splitlines())
    wanted, chosen = root / "wanted.txt", root / "chosen.txt"
    wanted.write_text("\n".join(PACKAGES))
    # uv prefers the versions that the output file names already.
    chosen.write_text("\n".join(sorted(present)))
    quietly = ("--quiet", "--no-annotate", "--no-header")
    _run("uv", "pip", "compile", *quietly, "--output-file", str(chosen), str(wanted))
    return sorted(set(chosen.read_text().splitlines()) - present)


def _run(*command: str) -> str:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    done = subprocess.run(command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr[-3000:]}"
    return done.stdout


class Provider:
    """An OpenID provider on this machine that lets everybody in who says who they are; a context manager."""

    def __init__(self, python: str, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [python, "-m", "oidc_provider_mock", "--port", str(self.port)], stdout=out, stderr=out
            )

    def __enter__(self) -> Provider:
        try:
            eventually(self._answers, within_s=START_S, tail=self._log.read_text)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()

    def add(self, name: str, group: str) -> None:
        """Somebody with this address, in this group."""
        claims = {"email": name, "name": name, "groups": [group]}
        assert requests.put(f"{self.url}/users/{name}", json=claims, timeout=HTTP_S).status_code == 204

    def id_token(self, name: str) -> str:
        """What the provider itself says of somebody, as a client that is no browser gets it."""
        client = {"client_id": "mlflow", "redirect_uri": "http://127.0.0.1/nowhere"}
        asked = {**client, "response_type": "code", "scope": "openid email profile"}
        url = f"{self.url}/oauth2/authorize"
        done = requests.post(url, params=asked, data={"sub": name}, timeout=HTTP_S, allow_redirects=False)
        code = parse_qs(urlsplit(done.headers["Location"]).query)["code"][0]
        form = {**client, "client_secret": "not a secret", "grant_type": "authorization_code", "code": code}
        return requests.post(f"{self.url}/oauth2/token", data=form, timeout=HTTP_S).json()["id_token"]

    def _answers(self) -> bool:
        assert self._process.poll() is None, self._log.read_text()
        with contextlib.suppress(requests.RequestException):
            return requests.get(f"{self.url}/.well-known/openid-configuration", timeout=5).ok
        return False


class OidcServer(TrackingServer):
    """``oidc-auth`` with serving around it. An admin signs in when it has started."""

    def __init__(self, python: str, provider: Provider, **options) -> None:
        super().__init__(
            python=python,
            environ={
                "PYTHON_DOTENV_DISABLED": "1",
                "SECRET_KEY": "a key for tests",
                "OIDC_DISCOVERY_URL": f"{provider.url}/.well-known/openid-configuration",
                "OIDC_CLIENT_ID": "mlflow",
                "OIDC_CLIENT_SECRET": "not a secret",
                "OIDC_ISSUER": provider.url,
                "OIDC_AUDIENCE": "mlflow",
                "OIDC_USERS_DB_URI": "sqlite:///{root}/auth.db",
                # Its own memory of permissions, by default 30 s, comes on top of ours.
                "PERMISSION_CACHE_TTL_SECONDS": "1",
                **options.pop("environ", {}),
            },
            settings={"base_app": "oidc-auth", **options.pop("settings", {})},
            **options,
        )
        self.provider = provider
        self.admin_password = ""

    def start(self) -> None:
        """Start it, and sign its admin in for the calls that tests make by themselves."""
        super().start()
        session = self.sign_in(ADMIN, "mlflow-admin")
        self.admin_password = self.access_token(session)
        self.credentials = basic(ADMIN, self.admin_password)

    def sign_in(self, name: str, group: str = "mlflow") -> dict[str, str]:
        """Sign somebody in as a browser does; the headers with their session's cookie."""
        self.provider.add(name, group)
        with requests.Session() as browser:
            page = browser.get(f"{self.url}/login", timeout=HTTP_S)
            assert page.url.startswith(self.provider.url), f"{page.url} {page.text[:500]}\n{self.tail()}"
            done = browser.post(page.url, data={"sub": name}, timeout=HTTP_S)
            assert done.url.startswith(self.url), f"{done.url} {done.text[:500]}\n{self.tail()}"
            cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies if cookie.path == "/")
        headers = {"Cookie": cookies}
        assert self.mlflow("GET", f"{_USERS}/current", headers)["username"] == name
        return headers

    def access_token(self, session: Mapping[str, str]) -> str:
        """An access token of mlflow-oidc-auth's own, which goes as a password."""
        tomorrow = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
        return self.mlflow(
            "POST", f"{_USERS}/current/tokens", session, name="of the tests", expiration=tomorrow.isoformat()
        )["token"]

    def grant(self, name: str, model: str, permission: str) -> None:
        """Give a user a permission on a registered model."""
        self.mlflow("POST", f"{_GRANTS}/{name}/registered-models/{model}", permission=permission)

    def mlflow(self, method: str, path: str, headers: Mapping[str, str] | None = None, **body: object) -> dict:
        """Call MLflow's or mlflow-oidc-auth's own API as the admin, or with other headers."""
        response = requests.request(
            method,
            f"{self.url}{path}",
            data=json.dumps(body) if body else None,
            headers={**(headers or self.credentials), "Content-Type": "application/json"},
            timeout=HTTP_S,
            allow_redirects=False,
        )
        assert response.status_code < 300, f"{path}: {response.status_code} {response.text}\n{self.tail()}"
        return response.json() if response.text else {}

    def token(self, headers: Mapping[str, str], **fields: object) -> str:
        """A token of whoever these headers are of."""
        return self.mlflow("POST", "/api/2.0/token/create", headers, comment="of the tests", **fields)["token_value"]
