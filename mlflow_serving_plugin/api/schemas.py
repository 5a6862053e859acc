"""JSON schemas of what callers send. ``CONFIG_SCHEMA`` is also what a form in the UI is made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator

from mlflow_serving_plugin.errors import InvalidParameterError

RUNTIMES = ("native", "mlflow")
"""The runtimes this server has."""

MOST_EVENTS = 1000
"""Events in one page, at most."""

MOST_VARIABLES = 50
LONGEST_VALUE_BYTES = 32 * 1024
VARIABLE_PATTERN = "^[A-Za-z_][A-Za-z0-9_]{0,127}$"

CONFIG_SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "replicas": {
            "title": "Replicas",
            "description": "Workers of each version.",
            "type": "integer",
            "minimum": 1,
            "maximum": 64,
            "default": 1,
        },
        "env_manager": {
            "title": "Environment manager",
            "description": (
                "What builds the model's Python environment. local uses the server's own; auto does so when "
                "that is what the model asks for, and otherwise builds one."
            ),
            "type": "string",
            "enum": ["auto", "uv", "virtualenv", "conda", "local"],
            "default": "auto",
        },
        "runtime": {
            "title": "Runtime",
            "description": "How a worker serves: native is ours, mlflow is 'mlflow models serve' as shipped.",
            "type": "string",
            "enum": list(RUNTIMES),
            "default": "native",
        },
        "batching": {
            "title": "Batching",
            "description": "Whether waiting requests are scored together; auto does so where it is proved safe.",
            "type": "string",
            "enum": ["auto", "on", "off"],
            "default": "auto",
        },
        "max_batch_rows": {
            "title": "Rows in a batch",
            "description": "Most rows scored together.",
            "type": "integer",
            "minimum": 1,
            "maximum": 10000,
            "default": 256,
        },
        "request_timeout_s": {
            "title": "Request timeout (s)",
            "description": "How long a prediction may take. Empty: the server's default.",
            "type": "number",
            "exclusiveMinimum": 0,
            "maximum": 3600,
            "default": None,
        },
        "memory_limit_mb": {
            "title": "Memory limit (MB)",
            "description": "Memory each process of a worker may use. Empty: no limit.",
            "type": "integer",
            "minimum": 64,
            "maximum": 1048576,
            "default": None,
        },
        "max_processes": {
            "title": "Processes",
            "description": "Processes one worker may have; one with more is ended and started again.",
            "type": "integer",
            "minimum": 16,
            "maximum": 65536,
            "default": 256,
        },
        "max_open_files": {
            "title": "Open files",
            "description": "Files and connections that each process of a worker may have open.",
            "type": "integer",
            "minimum": 64,
            "maximum": 1048576,
            "default": 4096,
        },
        "sandbox": {
            "title": "Sandbox",
            "description": (
                "Whether the model runs where it sees no files but its own (needs bubblewrap on the server). auto "
                "does so when network is off, or when the server's settings say so."
            ),
            "type": "string",
            "enum": ["auto", "on", "off"],
            "default": "auto",
        },
        "network": {
            "title": "Network",
            "description": "Whether the model may use the network. off needs the sandbox.",
            "type": "string",
            "enum": ["on", "off"],
            "default": "on",
        },
        "default_dialect": {
            "title": "Default dialect",
            "description": "How bodies are answered that MLflow 1 and later versions both know.",
            "type": "string",
            "enum": ["modern", "legacy"],
            "default": "modern",
        },
        "environment": {
            "title": "Environment variables",
            "description": "Variables of the workers. Values can be set and not read back.",
            "type": "object",
            "maxProperties": MOST_VARIABLES,
            "propertyNames": {"pattern": VARIABLE_PATTERN},
            "additionalProperties": {"type": "string", "maxLength": LONGEST_VALUE_BYTES},
            "default": {},
        },
    },
}

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
