"""How an error looks over HTTP: MLflow's JSON shape and its status for each code. Shared by gateway and API."""

from __future__ import annotations

import json

from mlflow_serving_plugin.errors import RetryableError, ServingError, UnauthenticatedError

STATUS = {
    "BAD_REQUEST": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "METHOD_NOT_ALLOWED": 405,
    "RESOURCE_ALREADY_EXISTS": 409,
    "RESOURCE_CONFLICT": 409,
    "REQUEST_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
    "REQUEST_LIMIT_EXCEEDED": 429,
    "INTERNAL_ERROR": 500,
    "WORKER_CRASHED": 502,
    "TEMPORARILY_UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}


def error_status(error: ServingError) -> int:
    """The HTTP status of an error."""
    return STATUS[error.error_code]


def error_body(error: ServingError) -> bytes:
    """``{"error_code": …, "message": …}``."""
    return json.dumps({"error_code": error.error_code, "message": error.message}).encode()


def error_headers(error: ServingError) -> list[tuple[str, str]]:
    """``Retry-After`` and ``WWW-Authenticate`` where they belong."""
    headers: list[tuple[str, str]] = []
    if isinstance(error, RetryableError):
        headers.append(("Retry-After", str(error.retry_after_s)))
    if isinstance(error, UnauthenticatedError):
        headers.append(("WWW-Authenticate", error.challenge))
    return headers
