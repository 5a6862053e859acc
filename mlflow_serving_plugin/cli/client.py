"""A small client of the control API. Every failure is a CliError of one line that says what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import click
import requests

from mlflow_serving_plugin.cli.credentials import VARIABLES, credentials, verification
from mlflow_serving_plugin.cli.errors import CliError

_BASE = "/api/2.0/mlflow/endpoints"
_TOKENS = "/api/2.0/token"
_CONNECT_S = 10
_READ_S = 60
_EVENTS_IN_A_PAGE = 1000

DEFAULT_TRACKING_URI = "http://127.0.0.1:5000"


class ServingClient:
    """A client of one tracking server, with the credentials in MLflow's own variables in ``environ``."""

    def __init__(self, tracking_uri: str, environ: Mapping[str, str]) -> None:
        if not _is_web_address(tracking_uri):
            raise click.UsageError(f"The tracking URI must be an http:// or https:// address, not '{tracking_uri}'.")
        self.uri = tracking_uri.rstrip("/")
        self._auth = credentials(environ)
        self._verify = verification(environ)
        self._session = requests.Session()

    @property
    def has_credentials(self) -> bool:
        """Whether the environment names credentials."""
        return self._auth is not None

    def enable(self, name: str, config: Mapping[str, Any] | None) -> None:
        """Enable serving on a registered model."""
        fields = {"registered_model_name": name} | ({"config": dict(config)} if config else {})
        self._call("POST", "enable", fields)

    def disable(self, name: str) -> None:
        """Disable serving on a registered model."""
        self._call("POST", "disable", {"registered_model_name": name})

    def prewarm(self, name: str, version: int | None) -> None:
        """Wake the versions of a model that sleep, or one version."""
        self._call("POST", "prewarm", {"registered_model_name": name, "endpoint_version_name": version})

    def endpoints(self) -> list[dict[str, Any]]:
        """The state of every endpoint that the caller may read."""
        return self._list("list", "endpoints", {})

    def status(self, name: str) -> dict[str, Any]:
        """The state of one endpoint."""
        return dict(self._call("GET", "get-status", {"registered_model_name": name})["endpoint_status"])

    def versions(self, name: str) -> list[dict[str, Any]]:
        """The served versions of a model, newest first."""
        return self._list("list-versions", "endpoint_versions", {"registered_model_name": name})

    def aliases(self, name: str) -> list[dict[str, Any]]:
        """Stages and aliases, each with its version."""
        return self._list("list-version-aliases", "aliases", {"registered_model_name": name})

    def logs(self, name: str, version: str, offset: int | None) -> tuple[str, int]:
        """A piece of a version's log from byte ``offset`` (None: near the end), and the offset of the next piece."""
        fields = {"registered_model_name": name, "endpoint_version_name": version, "offset": offset}
        reply = self._call("GET", "get-version-logs", fields)
        return reply["logs"], reply["next_offset"]

    def whole_log(self, name: str, version: str, *, build: bool = False) -> Iterator[str]:
        """The whole log of a version's workers, or of the build of its environment, piece by piece."""
        fields = {"registered_model_name": name, "endpoint_version_name": version, "offset": 0}
        while True:
            reply = self._call("GET", "get-version-build-logs" if build else "get-version-logs", fields)
            yield reply["logs"]
            if not reply["logs"] or reply["next_offset"] >= reply["total_bytes"]:
                return
            fields["offset"] = reply["next_offset"]

    def events(self, name: str, version: str | None) -> Iterator[dict[str, Any]]:
        """All events of a model or of one version, newest first, read page by page."""
        fields = {
            "registered_model_name": name,
            "endpoint_version_name": version,
            "max_results": _EVENTS_IN_A_PAGE,
            "page_token": None,
        }
        while True:
            reply = self._call("GET", "get-event-history", fields)
            yield from reply["events"]
            fields["page_token"] = reply.get("next_page_token")
            if not fields["page_token"]:
                return

    def logged(self, fields: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """The logged requests of an endpoint without their bodies, newest first, read page by page."""
        page: dict[str, Any] = {"max_results": _EVENTS_IN_A_PAGE}
        while True:
            reply = self._call("GET", "list-requests", {**fields, **page})
            yield from reply["requests"]
            page["page_token"] = reply.get("next_page_token")
            if not page["page_token"]:
                return

    def logs_requests(self, fields: Mapping[str, Any]) -> bool:
        """Whether an endpoint's requests are logged."""
        return bool(self._call("GET", "list-requests", {**fields, "max_results": 1})["enabled"])

    def request(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """One logged request with its bodies."""
        return self._call("GET", "get-request", dict(fields))

    def drift(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """How the requests of one version differ from its input example."""
        return self._call("GET", "get-drift", dict(fields))

    def create_token(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Create a token for the caller: the token's value, shown only here, and the token's record."""
        return self._call("POST", "create", dict(fields), base=_TOKENS)

    def tokens(self) -> list[dict[str, Any]]:
        """The caller's tokens, newest first; for an admin the tokens of all users."""
        return self._list("list", "token_infos", {}, base=_TOKENS)

    def revoke_token(self, token_id: str) -> None:
        """Revoke a token."""
        self._call("POST", "delete", {"token_id": token_id}, base=_TOKENS)

    def scoring_url(self, name: str, reference: str) -> str:
        """The scoring URL of a version; ``reference`` is a number, a stage, ``latest`` or ``@alias``."""
        separator = "" if reference.startswith("@") else "/"
        return f"{self.uri}/model/{quote(name, safe='')}{separator}{quote(reference, safe='@')}/invocations"

    def call(self, method: str, path: str, fields: Mapping[str, Any], *, timeout_s: float = _READ_S) -> dict[str, Any]:
        """The answer at a path of the server; ``fields`` are the query of a GET, else the JSON body."""
        return self._reply(self._send(method, path, fields, timeout_s=timeout_s))

    def stream(self, path: str, fields: Mapping[str, Any], *, timeout_s: float) -> Iterator[Any]:
        """The events of a streamed answer. An error that ends the stream is raised."""
        response = self._send("POST", path, fields, timeout_s=timeout_s, stream=True)
        if not response.ok or not response.headers.get("Content-Type", "").startswith("text/event-stream"):
            yield self._reply(response)
            return
        with response:
            for line in response.iter_lines():
                data = line.removeprefix(b"data:").strip()
                if not line.startswith(b"data:") or data == b"[DONE]":
                    continue
                event = json.loads(data)
                error = event.get("error") if isinstance(event, dict) else None
                if isinstance(error, dict) and "message" in error:
                    raise CliError(str(error["message"]), str(error.get("error_code", "INTERNAL_ERROR")))
                yield event

    def _list(self, route: str, key: str, fields: dict[str, Any], *, base: str = _BASE) -> list[dict[str, Any]]:
        return list(self._call("GET", route, fields, base=base)[key])

    def _call(self, method: str, route: str, fields: dict[str, Any], *, base: str = _BASE) -> dict[str, Any]:
        return self.call(method, f"{base}/{route}", fields)

    def ask(
        self, method: str, path: str, *, authenticated: bool = True, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """The server's answer to a request without fields, whatever it is; CliError when there is none."""
        return self._send(method, path, {}, timeout_s=_READ_S, authenticated=authenticated, headers=headers)

    def _send(
        self,
        method: str,
        path: str,
        fields: Mapping[str, Any],
        *,
        timeout_s: float,
        stream: bool = False,
        authenticated: bool = True,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        # Written here, as requests refuses the NaN of a model's input, which servers of MLflow take.
        content = {} if method == "GET" else {"Content-Type": "application/json"}
        options: dict[str, Any] = {"data": json.dumps(fields)} if content else {"params": fields}
        options |= {"auth": self._auth if authenticated else None, "headers": {**content, **(headers or {})}}
        options |= {"verify": self._verify, "timeout": (_CONNECT_S, timeout_s), "stream": stream}
        try:
            return self._session.request(method, f"{self.uri}{path}", **options)
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise CliError(f"{self.uri} does not answer by TLS. Is it an http:// address?") from None
            raise CliError(
                f"The certificate of {self.uri} is not trusted. Set MLFLOW_TRACKING_SERVER_CERT_PATH, "
                "or MLFLOW_TRACKING_INSECURE_TLS=true to skip the verification."
            ) from None
        except requests.exceptions.Timeout:
            raise CliError(f"{self.uri} did not answer: timeout.") from None
        except (requests.exceptions.RequestException, ValueError):
            raise CliError(f"{self.uri} cannot be reached. Is it the server's address (--tracking-uri)?") from None

    def _reply(self, response: requests.Response) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = None
        ours = isinstance(body, dict) and (response.ok or "error_code" in body)
        if response.ok and ours:
            return dict(body)
        if response.status_code == 401:
            said = str(body.get("message", "")) if ours else "The credentials are wrong."
            lead = f"{said} Check" if self._auth else "Authentication required. Set"
            raise CliError(f"{lead} {VARIABLES}.", "UNAUTHENTICATED")
        if ours:
            raise CliError(str(body.get("message") or body["error_code"]), str(body["error_code"]))
        if response.status_code == 403:
            raise CliError(f"Permission denied by {self.uri}: {_first_line(response.text)}")
        if response.ok or response.status_code in {404, 405}:
            raise CliError(
                f"The server at {self.uri} does not run the serving app. "
                "Start it with 'mlflow server --app-name serving'."
            )
        raise CliError(f"{self.uri} answered {response.status_code}: {_first_line(response.text)}")


def _is_web_address(uri: str) -> bool:
    try:
        parts = urlsplit(uri)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.netloc)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "no reason given")[:200]
