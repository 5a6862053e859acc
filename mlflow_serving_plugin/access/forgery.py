"""Requests that a page of another site has a visitor's browser send: told by what browsers say of them. Pure.

A browser adds the visitor's password or cookie by itself to whatever it sends, wherever the page is from. Only a
Bearer token it never adds, so on a server with authentication a request with one needs no look.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlflow_serving_plugin.errors import PermissionDeniedError


@dataclass(frozen=True, slots=True)
class BrowserRules:
    """MLflow's own settings of the server. ``bearer_exempt``: whether a Bearer token is looked at by somebody."""

    allowed_host: Callable[[str], bool]
    allowed_origin: Callable[[str], bool]
    """Of ``--cors-allowed-origins`` alone. MLflow lets any page of the visitor's own machine in besides, and so lets
    it use the visitor's password; here it has to be named like any other."""
    bearer_exempt: bool


def refuse_forged(rules: BrowserRules, method: str, headers: Mapping[str, str]) -> None:
    """Raise PermissionDeniedError for a request that a page of another site may have made.

    Header names in lower case. A GET is not looked at for its origin: it changes nothing, and no page of another
    origin can read the answer.
    """
    if rules.bearer_exempt and headers.get("authorization", "")[:7].lower() == "bearer ":
        return
    host = headers.get("host", "")
    if not rules.allowed_host(host):
        raise PermissionDeniedError("This server does not answer under that host name: see --allowed-hosts.")
    origin = headers.get("origin")
    if method in {"GET", "HEAD", "OPTIONS"} or (origin and rules.allowed_origin(origin)):
        return
    site = headers.get("sec-fetch-site")
    if site == "same-origin":
        # The browser's own word, which no page can change: a proxy may have put another host name into ``Host``.
        return
    if site == "cross-site":
        raise PermissionDeniedError("A page of another site may not do this: see --cors-allowed-origins.")
    if origin and not _same(origin, host):
        raise PermissionDeniedError("A page of another origin may not do this: see --cors-allowed-origins.")


def _same(origin: str, host: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc.lower() == host.lower()
    except ValueError:
        return False
