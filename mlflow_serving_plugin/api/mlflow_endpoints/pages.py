"""What pages in a browser ask for, in one reply each: pages poll, and each refusal shows as an error in the console."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.api import requests
from mlflow_serving_plugin.api.mlflow_endpoints import shapes
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import current_workspace, read_fields
from mlflow_serving_plugin.metrics.counting import REQUESTS
from mlflow_serving_plugin.metrics.files import read_totals
from mlflow_serving_plugin.registry.examples import scoring_example


class PageViews:
    """The views of one base path."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def add_to(self, blueprint: Blueprint) -> None:
        """Add the routes, relative to the base path."""
        blueprint.add_url_rule("/get-access", view_func=self.get_access)
        blueprint.add_url_rule("/get-overview", view_func=self.get_overview)
        blueprint.add_url_rule("/list-overviews", view_func=self.list_overviews)

    def get_access(self) -> dict[str, Any]:
        """Who the caller is, and what the caller may do with one registered model.

        ``auth``: whether the server authenticates callers; ``tokens``: whether the caller can create tokens; ``user``:
        null without a user name; ``permission``: NONE, READ or MANAGE.
        """
        name = read_fields(request, requests.MODEL)["registered_model_name"]
        user = self._context.caller()
        access = self._context.deps.access
        return {
            "user": user.name,
            "auth": user.name is not None or bool(user.credentials),
            "tokens": access.account(user) is not None,
            "permission": access.permission(user, current_workspace(), name).name,
        }

    def get_overview(self) -> dict[str, Any]:
        """One registered model: ``overview`` is null while serving is not enabled on it."""
        name = read_fields(request, requests.MODEL)["registered_model_name"]
        served = self._context.endpoints.describe_if_enabled(self._context.caller(), current_workspace(), name)
        return {"overview": served and shapes.overview(served, has_example, self._requests())}

    def list_overviews(self) -> dict[str, Any]:
        """All endpoints that the caller may read, by name."""
        found, answered = (
            self._context.endpoints.find_all(self._context.caller(), current_workspace()),
            self._requests(),
        )
        return {"overviews": [shapes.overview(served, has_example, answered) for served in found]}

    def _requests(self) -> Counter[tuple[str, str]]:
        """How many scoring requests this host has answered, of any status, by endpoint id and version."""
        deps = self._context.deps
        deps.metrics.flush()
        answered: Counter[tuple[str, str]] = Counter()
        for (name, *labels), values in read_totals(deps.paths.metrics, workers=False).items():
            if name == REQUESTS and isinstance(labels[1], str):
                answered[str(labels[0]), labels[1]] += int(values[0])
        return answered


@lru_cache(maxsize=1024)
def has_example(model_dir: str) -> bool:
    """Whether the fetched model files, which never change, include an input example."""
    return scoring_example(Path(model_dir)) is not None
