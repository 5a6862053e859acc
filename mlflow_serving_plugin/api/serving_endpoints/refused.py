"""Routes of Databricks for what this server has not: refused with a sentence, and not as paths that nobody knows."""

from __future__ import annotations

from typing import NoReturn

from mlflow_serving_plugin.api.deps import ApiDeps
from mlflow_serving_plugin.api.requests import caller_of, change_document, current_workspace
from mlflow_serving_plugin.errors import InvalidParameterError

ROUTES = {
    "pt": ("/pt", "POST", "This server has no provisioned throughput: create the endpoint with workload_size."),
    "pt-config": ("/pt/<name>/config", "PUT", "This server has no provisioned throughput: give workload_size."),
    "notifications": ("/<name>/notifications", "PATCH", "email_notifications: this server sends no mails."),
    "telemetry": ("/<name>/telemetry-config", "PATCH", "telemetry_config: this server has no telemetry tables."),
}
"""By name: the rule, the method, and the sentence."""


def refuse(deps: ApiDeps, sentence: str, name: str = "") -> NoReturn:
    """InvalidParameterError; for an endpoint that the caller may not manage, that comes first."""
    change_document()
    caller = caller_of(deps.access)
    if name and "throughput" not in sentence:
        deps.serving.managed(caller, current_workspace(), name)
    raise InvalidParameterError(sentence)
