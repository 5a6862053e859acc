"""Every failure of a control API in MLflow's JSON shape."""

from __future__ import annotations

import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import RequestRedirect

from mlflow_serving_plugin.errors import (
    BadRequestError,
    BodyTooLargeError,
    MethodNotAllowedError,
    NotFoundError,
    ServingError,
    UnsupportedTypeError,
)
from mlflow_serving_plugin.http_errors import error_body, error_headers, error_status

_logger = logging.getLogger(__name__)

_HTTP_ERRORS: dict[int, tuple[type[ServingError], str]] = {
    404: (NotFoundError, "The serving API has no such path."),
    405: (MethodNotAllowedError, "This path does not take that method."),
    413: (BodyTooLargeError, "The request body is too large."),
    415: (UnsupportedTypeError, "Send this request as application/json."),
}


def install(app: Flask) -> None:
    """Make every error of the app, expected or not, a JSON reply."""
    app.register_error_handler(ServingError, reply)
    app.register_error_handler(HTTPException, _from_werkzeug)
    app.register_error_handler(Exception, _unexpected)


def reply(error: ServingError) -> Response:
    """The reply for an error."""
    response = Response(error_body(error), status=error_status(error), mimetype="application/json")
    for name, value in error_headers(error):
        response.headers[name] = value
    return response


def _from_werkzeug(error: HTTPException) -> Response:
    if isinstance(error, RequestRedirect):
        return Response(status=error.code, headers={"Location": error.new_url})
    kind, message = _HTTP_ERRORS.get(error.code or 400, (BadRequestError, "The request is not valid HTTP."))
    response = reply(kind(message))
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods))
    return response


def _unexpected(error: Exception) -> Response:
    _logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return reply(ServingError("The server failed on this request; the server's log has the reason."))
