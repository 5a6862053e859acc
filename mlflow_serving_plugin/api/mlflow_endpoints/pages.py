"""What pages in a browser ask for, in one reply each: pages poll, and each refusal shows as an error in the console."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints import shapes
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import current_workspace, read_fields
from mlflow_serving_plugin.metrics.figures import DURATION_BOUNDS_S
from mlflow_serving_plugin.registry.samples import sample_request

_MOST_VERSIONS = 50_000
"""A page asks for all versions in turn: a cache for fewer than there are would never hit."""


def get_access(context: Context) -> dict[str, Any]:
    """Who the caller is, and what the caller may do with one registered model.

    ``auth``: whether the server authenticates callers; ``tokens``: whether the caller can create tokens; ``user``:
    null without a user name; ``permission``: NONE, READ or MANAGE.
    """
    name = read_fields(requests.MODEL)["registered_model_name"]
    user, access = context.caller(), context.deps.access
    return {
        "user": user.name,
        "auth": user.name is not None or bool(user.credentials),
        "tokens": access.account(user) is not None,
        "permission": context.endpoints.permission(user, current_workspace(), name).name,
    }


def get_overview(context: Context) -> dict[str, Any]:
    """One registered model: ``overview`` is null while serving is not enabled on it.

    ``duration_bounds_s``: the upper bounds in seconds of what each version's ``durations`` count.
    """
    name = read_fields(requests.MODEL)["registered_model_name"]
    served = context.endpoints.describe_if_enabled(context.caller(), current_workspace(), name)
    overview = served and shapes.overview(served, sample_source, context.figures(), context.deps.history.hour().lately)
    return {"overview": overview, "duration_bounds_s": DURATION_BOUNDS_S}


def list_overviews(context: Context) -> dict[str, Any]:
    """All endpoints that the caller may read, by name."""
    found, figures = context.endpoints.find_all(context.caller(), current_workspace()), context.figures()
    lately = context.deps.history.hour().lately
    overviews = [shapes.overview(served, sample_source, figures, lately) for served in found]
    return {"overviews": overviews, "duration_bounds_s": DURATION_BOUNDS_S}


@lru_cache(maxsize=_MOST_VERSIONS)
def sample_source(model_dir: str, form: int | None) -> str | None:
    """Where a sample request comes from, ``example`` or ``signature``, by the model files, which never change.

    ``form``: the form of the example that the model takes.
    """
    sample = sample_request(Path(model_dir), form)
    return None if sample is None else sample.source
