"""The security settings of ``mlflow server``, as rules for requests that do not pass through MLflow's own checks."""

from __future__ import annotations

import fnmatch
from functools import lru_cache

from mlflow_serving_plugin.access.forgery import BrowserRules

_HOSTS = 256


def browser_rules(*, authenticated: bool) -> BrowserRules | None:
    """The rules; None when the server runs without MLflow's security checks."""
    from mlflow.environment_variables import MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE
    from mlflow.server import security, security_utils

    if MLFLOW_SERVER_DISABLE_SECURITY_MIDDLEWARE.get() == "true":
        return None
    hosts, origins = security.get_allowed_hosts(), security.get_allowed_origins()
    return BrowserRules(
        # Cached: the check compares the host with some twenty patterns, and most requests have the same host.
        allowed_host=lru_cache(_HOSTS)(lambda host: bool(security_utils.is_allowed_host_header(hosts, host))),
        allowed_origin=lambda origin: any(fnmatch.fnmatchcase(origin, allowed) for allowed in origins),
        bearer_exempt=authenticated,
        any_origin="*" in origins,
    )
