"""Refuses cross-site request forgery, by the headers that browsers add to requests. Pure.

A browser adds the visitor's password or cookie to each request, also to those of pages from another site. A browser
never adds a Bearer token, so on a server with authentication a request with a Bearer token is not checked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from mlflow_serving_plugin.errors import PermissionDeniedError


@dataclass(frozen=True, slots=True)
class BrowserRules:
    """MLflow's own settings of the server. ``bearer_exempt``: whether the server verifies Bearer tokens."""

    allowed_host: Callable[[str], bool]
    allowed_origin: Callable[[str], bool]
    """By ``--cors-allowed-origins`` alone. MLflow also allows every page from localhost, and such a page could use the
    visitor's password; here an origin on localhost has to be named like any other."""
    bearer_exempt: bool
    any_origin: bool = False
    """Whether ``--cors-allowed-origins`` is ``*``."""


def refuse_forged(rules: BrowserRules, method: str, headers: Mapping[str, str]) -> None:
    """Raise PermissionDeniedError for a request that may come from a page of another site.

    Header names in lower case. The origin of a GET is not checked: a GET changes nothing, and no page of another
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
        # Set by the browser; no page can change it. ``Host`` may have been changed by a proxy.
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
