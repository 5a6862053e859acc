"""What ``/serving-endpoints/…/invocations`` speaks: as ``…/invocations``, but every answer is an object.

Clients of Databricks' Model Serving cannot read a bare list.
"""

from __future__ import annotations

from collections.abc import Mapping

from mlflow_serving_plugin.gateway.dialects.base import Reader, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS
from mlflow_serving_plugin.gateway.dialects.mlflow2 import MLFLOW2, Mlflow2


class Endpoints(Mlflow2):
    """All forms of bodies of ``…/invocations``; answers and errors are MLflow 2's."""

    def reader(self, headers: Mapping[str, str], default: str) -> Reader:
        """The reader for a body with these headers; UnsupportedTypeError, BadRequestError."""
        read = INVOCATIONS.reader(headers, default)

        def read_for_object(body: bytes) -> ScoringRequest:
            return read(body)._replace(reply_format=MLFLOW2)

        return read_for_object


ENDPOINTS = Endpoints()
