"""An endpoint's configuration as callers see it: checked, merged over the present one, shown without secrets."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA
from mlflow_serving_plugin.domain.request_log import LOG_SCHEMA
from mlflow_serving_plugin.domain.restrictions import is_restriction
from mlflow_serving_plugin.domain.tracking import refuse_contradiction
from mlflow_serving_plugin.domain.variables import LONGEST_VALUE_BYTES, MOST_VARIABLES
from mlflow_serving_plugin.errors import InvalidParameterError

PLACEHOLDER = "********"
"""Stands for a variable's value in replies; sent back, it keeps the value."""

_validator = Draft202012Validator(CONFIG_SCHEMA)
_fields: dict[str, dict[str, Any]] = CONFIG_SCHEMA["properties"]
_defaults = asdict(EndpointConfig())

_NOT_OPTIONAL = (
    "config.sandbox cannot be off on this server. The server's operator can name the files that the model needs in "
    "MLFLOW_SERVING_SANDBOX_READABLE_PATHS and MLFLOW_SERVING_SANDBOX_WRITABLE_PATHS, or permit off by "
    "MLFLOW_SERVING_SANDBOX_OPTIONAL=true."
)
_OWN = "the server sets it itself"
_OF_LOG = {
    "location": "a directory or a URI: text without ? and #, and without @ but for abfss://container@account",
    "redact": "a list of names of fields; $request and $response stand for whole bodies",
    "enabled": "true or false",
}
_LOADER = "it would change what code the worker loads"
_REFUSED_PREFIXES = {
    "MLFLOW_SERVING_": "it belongs to the server",
    "_MLFLOW": "it belongs to the server",
    "MLFLOW_SCORING_SERVER_": _OWN,
    "UVICORN_": _OWN,
    "LD_": _LOADER,
    "DYLD_": _LOADER,
}
_REFUSED_NAMES = dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "BASH_ENV", "ENV"), _LOADER) | (
    dict.fromkeys(("PATH", "HOME", "SHELL", "IFS", "TMPDIR"), _OWN)
)


def merge_config(current: EndpointConfig, changes: dict[str, Any], *, sandbox_optional: bool = True) -> EndpointConfig:
    """``current`` with ``changes`` over it; null resets a field to its default.

    ``environment`` is replaced as a whole, but PLACEHOLDER as a value keeps the variable's present one.
    ``sandbox_optional`` False: the sandbox cannot be turned off. Raises InvalidParameterError that names the field.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if isinstance(given.get("request_log"), dict):
        # Merged key by key, as the log is turned off and on again without its other keys.
        merged_log = {**current.request_log, **given["request_log"]}
        given["request_log"] = {name: value for name, value in merged_log.items() if value is not None}
    for name in changes:
        if name not in _fields:
            raise InvalidParameterError(f"config.{name[:100]} is not a setting. There are: {', '.join(_fields)}.")
    for error in _validator.iter_errors(given):
        raise InvalidParameterError(_explain(error))
    values = {name: _cast(name, given[name]) if name in given else _defaults[name] for name in changes}
    if "environment" in given:
        values["environment"] = _environment(current, given["environment"])
    merged = replace(current, **values)
    if merged.sandbox == "off" != current.sandbox and not sandbox_optional:
        raise InvalidParameterError(_NOT_OPTIONAL)
    if merged.network == "off" and merged.sandbox == "off":
        raise InvalidParameterError("config.network can be off only in the sandbox. Set config.sandbox to auto or on.")
    refuse_contradiction(merged)
    _check_replicas(merged)
    return merged


def _check_replicas(config: EndpointConfig) -> None:
    """``replicas`` stands for the fewest and the most replicas where these are not given."""
    fewest = "replicas" if config.min_replicas is None else "min_replicas"
    most = "replicas" if config.max_replicas is None else "max_replicas"
    least_n, most_n = getattr(config, fewest), getattr(config, most)
    if least_n > most_n:
        raise InvalidParameterError(f"config.{fewest} is {least_n}, more than config.{most}, which is {most_n}.")


def show_config(config: EndpointConfig) -> dict[str, Any]:
    """The configuration as JSON, each variable's value replaced by PLACEHOLDER."""
    shown = {name: value for name, value in asdict(config).items() if name in _fields}
    return shown | {"environment": dict.fromkeys(sorted(config.environment), PLACEHOLDER)}


def _cast(name: str, value: Any) -> Any:
    # JSON Schema takes 2.0 for an integer.
    return int(value) if _fields[name]["type"] == "integer" else value


def _environment(current: EndpointConfig, wanted: dict[str, str]) -> dict[str, str]:
    environment = {}
    for name, value in wanted.items():
        kept = current.environment.get(name) if value == PLACEHOLDER else value
        if kept is None:
            raise InvalidParameterError(f"config.environment: {name} has no value that could be kept. Give it one.")
        if reason := _refusal(name):
            raise InvalidParameterError(f"config.environment: {name} cannot be set, because {reason}.")
        if "\x00" in kept or len(kept.encode(errors="replace")) > LONGEST_VALUE_BYTES:
            raise InvalidParameterError(_bad_value(name))
        environment[name] = kept
    return environment


def _refusal(name: str) -> str | None:
    for prefix, reason in _REFUSED_PREFIXES.items():
        if name.startswith(prefix):
            return reason
    return "the server's operator decides about it" if is_restriction(name) else _REFUSED_NAMES.get(name)


def _explain(error: ValidationError) -> str:
    path = [str(part) for part in error.absolute_path]
    if path[0] == "environment":
        return _explain_environment(error, path)
    if path[0] == "request_log":
        return _explain_log(path)
    return f"config.{path[0]} must be {_allowed(_fields[path[0]])}."


def _explain_environment(error: ValidationError, path: list[str]) -> str:
    if len(path) > 1:
        return _bad_value(path[1])
    if error.validator == "maxProperties":
        return f"config.environment may hold at most {MOST_VARIABLES} variables."
    if error.validator == "pattern":
        return "config.environment: a variable's name may have letters, digits and underscores, no digit first."
    return "config.environment must be an object of names and strings."


def _explain_log(path: list[str]) -> str:
    rules = LOG_SCHEMA["properties"]
    if len(path) < 2 or path[1] not in rules:
        return f"config.request_log must be an object of {', '.join(rules)}."
    allowed = _OF_LOG.get(path[1]) or _allowed(rules[path[1]])
    return f"config.request_log.{path[1]} must be {allowed}."


def _bad_value(name: str) -> str:
    return f"config.environment: the value of {name} must be a string of at most {LONGEST_VALUE_BYTES // 1024} kB."


def _allowed(rule: dict[str, Any]) -> str:
    if "enum" in rule:
        return f"one of {', '.join(rule['enum'])}"
    if "exclusiveMinimum" in rule:
        return f"a number above {rule['exclusiveMinimum']}, at most {rule['maximum']}"
    if rule.get("type") == "string":
        names = ", names of headers that are separated by commas" if "pattern" in rule else ""
        return f"a text of at most {rule['maxLength']} characters{names}"
    if rule.get("type") == "number":
        return f"a number from {rule['minimum']} to {rule['maximum']}"
    return f"a whole number from {rule['minimum']} to {rule['maximum']}"
