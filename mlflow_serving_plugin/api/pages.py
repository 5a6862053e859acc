"""What pages in a browser ask for, in one reply each: they poll, and a refusal would be an error in their console."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Blueprint, request

from mlflow_serving_plugin.access.base import Permission
from mlflow_serving_plugin.api import schemas, shapes
from mlflow_serving_plugin.api.context import Context, current_workspace
from mlflow_serving_plugin.api.fields import read_fields
from mlflow_serving_plugin.metrics.counting import REQUESTS
from mlflow_serving_plugin.metrics.files import read_totals
from mlflow_serving_plugin.registry.examples import scoring_example


class PageViews:
    """The views of one base path."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def blueprint(self) -> Blueprint:
        """The routes, without the base path; none for programs."""
        blueprint = Blueprint("pages", __name__)
        if self._context.base.ajax:
            blueprint.add_url_rule("/get-access", view_func=self.get_access)
            blueprint.add_url_rule("/get-overview", view_func=self.get_overview)
            blueprint.add_url_rule("/list-overviews", view_func=self.list_overviews)
        return blueprint

    def get_access(self) -> dict[str, Any]:
        """Who the caller is, and what they may do with one registered model.

        ``auth``: whether the server asks callers who they are, and ``tokens`` whether it gives them tokens; ``user`` is
        null where it has no names; ``permission``: NONE, READ or MANAGE.
        """
        name = schemas.check_fields(schemas.MODEL, read_fields(request))["registered_model_name"]
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
        name = schemas.check_fields(schemas.MODEL, read_fields(request))["registered_model_name"]
        self._context.require(self._context.caller(), name, Permission.READ)
        endpoint = self._context.deps.store.find(current_workspace(), name)
        if endpoint is None:
            # 404 where there is nothing that could be enabled.
            self._context.deps.registry.model(current_workspace(), name)
            return {"overview": None}
        return {"overview": shapes.overview(self._context.join(endpoint), has_example, self._requests())}

    def list_overviews(self) -> dict[str, Any]:
        """All endpoints that the caller may read, by name."""
        user, access, workspace = self._context.caller(), self._context.deps.access, current_workspace()
        requests = self._requests()
        overviews = [
            shapes.overview(self._context.join(endpoint), has_example, requests)
            for endpoint in sorted(self._context.deps.store.enabled(), key=lambda found: found.name)
            if endpoint.workspace == workspace and access.permission(user, workspace, endpoint.name) >= Permission.READ
        ]
        return {"overviews": overviews}

    def _requests(self) -> Counter[tuple[str, int]]:
        """How many scoring requests this host has answered, of any status, by endpoint id and version."""
        deps = self._context.deps
        deps.metrics.flush()
        answered: Counter[tuple[str, int]] = Counter()
        for (name, *labels), values in read_totals(deps.paths.metrics, workers=False).items():
            if name == REQUESTS and isinstance(labels[1], int):
                answered[str(labels[0]), labels[1]] += int(values[0])
        return answered


@lru_cache(maxsize=1024)
def has_example(model_dir: str) -> bool:
    """Whether an input example lies with fetched model files, which never change."""
    return scoring_example(Path(model_dir)) is not None
