"""Reads the fields of a request: from the query, a JSON body or a form, whichever the route allows."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from flask import Request

from mlflow_serving_plugin.errors import BadRequestError, PermissionDeniedError, UnsupportedTypeError

JSON_TYPE = "application/json"
FORM_TYPE = "application/x-www-form-urlencoded"


def read_fields(request: Request) -> dict[str, Any]:
    """The fields of a request that changes nothing: query and JSON body together, of any content type."""
    body = request.get_data()
    return {**request.args.to_dict(), **(_parse(body) if body.strip() else {})}


def change_fields(request: Request, *, form_allowed: bool) -> dict[str, Any]:
    """The fields of a request that changes something: its JSON body or, where allowed, its form.

    A browser sends a form, or JSON under another name, to any site without asking it first; it sends
    ``application/json`` only after a CORS preflight. So all else is taken from programs alone.
    """
    if request.headers.get("Sec-Fetch-Site") == "cross-site":
        raise PermissionDeniedError("A page of another site may not change serving.")
    if request.mimetype == JSON_TYPE:
        return _parse(request.get_data())
    from_browser = "Origin" in request.headers or "Sec-Fetch-Site" in request.headers
    if not form_allowed or from_browser:
        raise UnsupportedTypeError(f"Send this request as {JSON_TYPE}.")
    # curl -d '{…}' says that its JSON is a form.
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
        # What cannot be encoded is a lone surrogate, which no database takes.
        json.dumps(fields, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise BadRequestError("The request body is not JSON.") from None
    if not isinstance(fields, dict):
        raise BadRequestError("The request body must be a JSON object.")
    return fields


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
