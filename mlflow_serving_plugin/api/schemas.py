"""JSON schemas of the fields that callers send. That of a configuration is derived in ``domain/config.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from mlflow_serving_plugin.errors import InvalidParameterError

MOST_EVENTS = 1000
"""Events in one page, at most."""

_NAME = {"type": "string", "minLength": 1, "maxLength": 1000, "pattern": "^[^\\x00]+$"}
_TEXT = {"type": "string", "maxLength": 1000, "pattern": "^[^\\x00]*$"}
_VERSION = {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}
_OFFSET = {"type": "integer", "minimum": 0, "maximum": 2**63 - 1}
_OBJECT = {"type": "object"}
_LIFETIME = {"type": "integer", "minimum": 1, "maximum": 10 * 366 * 24 * 3600}
_SCOPE = {
    "type": "object",
    "properties": {"registered_model_name": _NAME, "permission": {"enum": ["READ"]}},
    "required": ["registered_model_name"],
    "additionalProperties": False,
}

_NUMBERS = ("endpoint_version_name", "offset", "max_results", "lifetime_seconds")
"""Fields that a query carries as digits."""

_MEANING = {
    "registered_model_name": "the name of a registered model",
    "endpoint_version_name": "a version number",
    "offset": "a whole number of bytes, 0 or more",
    "max_results": f"a whole number from 1 to {MOST_EVENTS}",
    "replica_id": "the id of a replica",
    "page_token": "a token from the page before",
    "config": "an object",
    "comment": "a text of at most 1000 characters",
    "lifetime_seconds": "a whole number from 1 to ten years; none for a token without an end",
    "scope": "an object of registered_model_name and, if given, permission READ",
    "token_id": "the id of a token",
}


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of one route: those that must be there, and a validator of all that it knows."""

    required: tuple[str, ...]
    validator: Draft202012Validator


def _fields(required: dict[str, Any], **optional: dict[str, Any]) -> Fields:
    return Fields(tuple(required), Draft202012Validator({"type": "object", "properties": required | optional}))


MODEL = _fields({"registered_model_name": _NAME})
ENABLE = _fields({"registered_model_name": _NAME}, config=_OBJECT)
CONFIGURE = _fields({"registered_model_name": _NAME, "config": _OBJECT})
VERSION = _fields({"registered_model_name": _NAME, "endpoint_version_name": _VERSION})
LOGS = _fields({"registered_model_name": _NAME, "endpoint_version_name": _VERSION}, replica_id=_TEXT, offset=_OFFSET)
EVENTS = _fields(
    {"registered_model_name": _NAME},
    endpoint_version_name=_VERSION,
    page_token=_TEXT,
    max_results={"type": "integer", "minimum": 1, "maximum": MOST_EVENTS},
)
AUDIT = _fields({}, page_token=_TEXT, max_results={"type": "integer", "minimum": 1, "maximum": MOST_EVENTS})
NOTHING = _fields({})
CREATE_TOKEN = _fields({}, comment=_TEXT, lifetime_seconds=_LIFETIME, scope=_SCOPE)
DELETE_TOKEN = _fields({"token_id": _NAME})


def check_fields(known: Fields, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields without those that are null, digits as numbers.

    Raises InvalidParameterError that names the first field that is missing or wrong, without its value.
    """
    checked = {name: _number(name, value) for name, value in fields.items() if value is not None}
    for name in known.required:
        if checked.get(name, "") == "":
            raise InvalidParameterError(f"Missing value for required parameter '{name}'.")
    for error in known.validator.iter_errors(checked):
        name = str(error.absolute_path[0])
        raise InvalidParameterError(f"Parameter '{name}' must be {_MEANING[name]}.")
    return checked


def _number(name: str, value: Any) -> Any:
    if name not in _NUMBERS:
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    is_digits = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 19
    return int(value) if is_digits else value
