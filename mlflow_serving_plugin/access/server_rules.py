"""The security settings of ``mlflow server``, as rules for requests that do not pass through MLflow's own checks."""

from __future__ import annotations

import fnmatch
import ipaddress
import os
from functools import lru_cache
from urllib.parse import urlsplit

from mlflow_serving_plugin.access.forgery import BrowserRules

_HOSTS = 256


def browser_rules(*, authenticated: bool) -> BrowserRules | None:
    """The rules; None when the server runs without MLflow's security checks."""
    if os.environ.get("MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE", "").lower() == "true":
        return None
    try:
        from mlflow.server.security import get_allowed_hosts, get_allowed_origins
        from mlflow.server.security_utils import is_allowed_host_header
    except ImportError:
        return _strict(authenticated)
    hosts, origins = get_allowed_hosts(), get_allowed_origins()
    return BrowserRules(
        # Cached: the check compares the host with some twenty patterns, and most requests have the same host.
        allowed_host=lru_cache(_HOSTS)(lambda host: bool(is_allowed_host_header(hosts, host))),
        allowed_origin=lambda origin: any(fnmatch.fnmatchcase(origin, allowed) for allowed in origins),
        bearer_exempt=authenticated,
        any_origin="*" in origins,
    )


def _strict(authenticated: bool) -> BrowserRules:
    """For an MLflow whose options are not known: names of this machine and private addresses, no page elsewhere."""
    return BrowserRules(_is_private, lambda _origin: False, bearer_exempt=authenticated)


def _is_private(host: str) -> bool:
    name = urlsplit(f"//{host}").hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_private
    except ValueError:
        return False
