"""What a request says: its caller, its workspace, and its fields, checked against a JSON schema.

Fields come from the query, a JSON body or a form, whichever the route allows.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, NoReturn

from flask import current_app, request
from jsonschema import Draft202012Validator

from mlflow_serving_plugin.access.base import Access, User
from mlflow_serving_plugin.domain.workspace import workspace_of
from mlflow_serving_plugin.errors import (
    BadRequestError,
    InvalidParameterError,
    PermissionDeniedError,
    UnsupportedTypeError,
)

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"

WORKSPACES = "SERVING_WORKSPACES"
"""The key of the app's configuration that says whether the server has workspaces."""

CALLER, REFUSAL = "serving.caller", "serving.refusal"
"""Keys of a request's WSGI environment: who sent the request, and why the request is refused; None: not known yet."""

WELL_KNOWN_PATH = "/.well-known/databricks-config"
"""Every client of Databricks asks here first, without credentials."""

MOST_EVENTS = 1000
"""Maximum number of events in one page."""

_EVENTS_IN_A_PAGE = 100

_NAME = {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": "^[^\\x00]+$"}
_TEXT = {"type": "string", "maxLength": 1000, "pattern": "^[^\\x00]*$"}
_SCOPE = {
    "type": "object",
    "properties": {"registered_model_name": _NAME, "permission": {"enum": ["READ"]}},
    "required": ["registered_model_name"],
    "additionalProperties": False,
}


def _whole(least: int, most: int) -> dict[str, Any]:
    return {"type": "integer", "minimum": least, "maximum": most}


_TIME = _whole(0, 2**53)
_KNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "registered_model_name": (_NAME, "the name of a registered model"),
    "serving_endpoint_name": (_NAME, "the name of a serving endpoint"),
    "served_entity_name": (_NAME, "the name of an entity of the serving endpoint"),
    "from": (_TIME, "a time in milliseconds since 1970"),
    "to": (_TIME, "a time in milliseconds since 1970"),
    "status": (_TEXT, "a status such as 200, or a class such as 4xx"),
    "min_ms": (_whole(0, 2**31), "a number of milliseconds"),
    "request_id": (_NAME, "the id of a request"),
    "request_time": (_TIME, "a time in milliseconds since 1970"),
    "step": (_whole(10, 7 * 24 * 3600), "a number of seconds, a multiple of 10"),
    "endpoint_version_name": (_whole(1, 2**31 - 1), "a version number"),
    "offset": (_whole(0, 2**63 - 1), "a whole number of bytes, 0 or more"),
    "max_results": (_whole(1, MOST_EVENTS), f"a whole number from 1 to {MOST_EVENTS}"),
    "replica_id": (_TEXT, "the id of a replica"),
    "page_token": (_TEXT, "the next_page_token of the previous page"),
    "config": ({"type": "object"}, "an object"),
    "comment": (_TEXT, "a text of at most 1000 characters"),
    "lifetime_seconds": (
        _whole(1, 10 * 366 * 24 * 3600),
        "a whole number from 1 to ten years; leave it out for a token that never expires",
    ),
    "scope": (_SCOPE, "an object of registered_model_name and, if given, permission READ"),
    "token_id": (_NAME, "the id of a token"),
}
"""Each field's schema, and what the field must be, for a person. A query carries integers as digits."""


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one route: the required ones, and a validator of all known ones."""

    required: tuple[str, ...]
    validator: Draft202012Validator


def _fields(*required: str, optional: tuple[str, ...] = ()) -> Fields:
    properties = {name: _KNOWN[name][0] for name in required + optional}
    return Fields(required, Draft202012Validator({"type": "object", "properties": properties}))


_PAGE = ("page_token", "max_results")
NOTHING = _fields()
MODEL = _fields("registered_model_name")
ENABLE = _fields("registered_model_name", optional=("config",))
CONFIGURE = _fields("registered_model_name", "config")
PREWARM = _fields("registered_model_name", optional=("endpoint_version_name",))
VERSION = _fields("registered_model_name", "endpoint_version_name")
LOGS = _fields("registered_model_name", "endpoint_version_name", optional=("replica_id", "offset"))
EVENTS = _fields("registered_model_name", optional=("endpoint_version_name", *_PAGE))
_ENDPOINT = ("registered_model_name", "serving_endpoint_name", "endpoint_version_name", "served_entity_name")
REQUESTS = _fields(optional=(*_ENDPOINT, "from", "to", "status", "min_ms", *_PAGE))
REQUEST = _fields("request_id", optional=(*_ENDPOINT[:2], "request_time"))
DRIFT = _fields(optional=(*_ENDPOINT, "from", "to"))
HISTORY = _fields(optional=(*_ENDPOINT, "from", "to", "step"))
AUDIT = PAGE = _fields(optional=_PAGE)
CREATE_TOKEN = _fields(optional=("comment", "lifetime_seconds", "scope"))
DELETE_TOKEN = _fields("token_id")


def lowercase_headers() -> dict[str, str]:
    """The headers of the current request, names in lower case."""
    return {name.lower(): value for name, value in request.headers}


def caller_of(access: Access) -> User:
    """The sender of the current request; UnauthenticatedError, PermissionDeniedError with a token for one model."""
    caller: User = request.environ.get(CALLER) or access.identify(lowercase_headers(), request.remote_addr or "")
    if caller.scope is not None:
        # Logs, events and the input example hold more than a program that scores has to see.
        raise PermissionDeniedError("A token for one model can score that model, and nothing else.")
    return caller


def raise_refusal() -> None:
    """Raise the error for which the current request is refused, if any."""
    refusal = request.environ.get(REFUSAL)
    if refusal is not None:
        raise refusal


def current_workspace() -> str:
    """The workspace that the current request is about; InvalidParameterError for a bad one."""
    return workspace_of(lowercase_headers(), enabled=bool(current_app.config.get(WORKSPACES)))


def read_fields(known: Fields) -> dict[str, Any]:
    """The fields of a request that changes nothing: query and JSON body together, of any content type."""
    body = request.get_data()
    return _check(known, {**request.args.to_dict(), **(_parse(body) if body.strip() else {})})


def one_of(fields: dict[str, Any], first: str, second: str) -> str:
    """Which of two fields a request has; InvalidParameterError for a request with none or both."""
    if bool(fields.get(first)) == bool(fields.get(second)):
        raise InvalidParameterError(f"Exactly one of '{first}' and '{second}' must be given.")
    return first if fields.get(first) else second


def page_of(fields: dict[str, Any]) -> dict[str, Any]:
    """The page of events that a request's fields name, as arguments of an operation."""
    return {"page_token": fields.get("page_token") or None, "limit": fields.get("max_results", _EVENTS_IN_A_PAGE)}


def change_fields(known: Fields, *, form_allowed: bool = False) -> dict[str, Any]:
    """The fields of a request that changes something: its JSON body or, where allowed, its form.

    A browser sends a form, or JSON under another content type, to any site without a CORS preflight; it sends
    ``application/json`` only after one. So other content types are accepted from programs only.
    """
    return _check(known, _sent(form_allowed=form_allowed))


def change_document() -> dict[str, Any]:
    """The JSON body of a request that changes something, unchecked; as ``change_fields`` judges content types."""
    return _sent(form_allowed=False)


def _sent(*, form_allowed: bool) -> dict[str, Any]:
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise PermissionDeniedError("A page of another site may not change serving.")
    if request.mimetype == JSON_TYPE:
        return _parse(request.get_data())
    from_browser = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if not form_allowed or from_browser:
        raise UnsupportedTypeError(f"Send this request as {JSON_TYPE}.")
    # curl -d '{…}' labels its JSON as a form.
    body = request.get_data(parse_form_data=False)
    if request.mimetype == FORM_TYPE and not body.lstrip().startswith(b"{"):
        return request.form.to_dict()
    if request.mimetype in ("", FORM_TYPE):
        return _parse(body)
    if request.mimetype == "multipart/form-data":
        return request.form.to_dict()
    raise UnsupportedTypeError(f"Send this request as {JSON_TYPE}.")


def _parse(body: bytes) -> dict[str, Any]:
    try:
        fields = json.loads(body, parse_constant=_refuse_constant)
        # Fails for a lone surrogate, which no database takes.
        json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadRequestError("The request body is not JSON.") from None
    if not isinstance(fields, dict):
        raise BadRequestError("The request body must be a JSON object.")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _check(known: Fields, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without those that are null, digits as numbers.

    Raises InvalidParameterError that names the first field that is missing or wrong, without the field's value.
    """
    checked = {name: _number(name, value) for name, value in fields.items() if value is not None}
    for name in known.required:
        if checked.get(name, "") == "":
            raise InvalidParameterError(f"Missing value for required parameter '{name}'.")
    for error in known.validator.iter_errors(checked):
        name = str(error.absolute_path[0])
        raise InvalidParameterError(f"Parameter '{name}' must be {_KNOWN[name][1]}.")
    return checked


def _number(name: str, value: Any) -> Any:
    if name not in _KNOWN or _KNOWN[name][0]["type"] != "integer":
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19
    return int(value) if is_digits else value
