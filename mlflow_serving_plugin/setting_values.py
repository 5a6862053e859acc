"""The value of a setting, from the text of its variable."""

from __future__ import annotations

import math
from typing import Any

from mlflow_serving_plugin.errors import ConfigurationError


def parse(name: str, raw: str, default: Any, at_least: float | None, one_of: tuple[str, ...]) -> Any:
    """The value in the type of ``default``; ConfigurationError names the variable."""
    if one_of and raw not in one_of:
        raise ConfigurationError(f"{name} is {raw!r}, but must be one of {', '.join(one_of)}.")
    if isinstance(default, bool):
        if raw.lower() in {"1", "true", "yes", "on"}:
            return True
        if raw.lower() in {"0", "false", "no", "off"}:
            return False
        raise ConfigurationError(f"{name} is {raw!r}, but must be true or false.")
    if isinstance(default, str):
        return raw
    try:
        value = type(default)(raw)
    except ValueError:
        value = math.nan
    # Selectors and command lines do not accept infinity.
    if isinstance(value, float) and not math.isfinite(value):
        kind = "a whole number" if isinstance(default, int) else "a number"
        raise ConfigurationError(f"{name} is {raw!r}, but must be {kind}.")
    if at_least is not None and value < at_least:
        raise ConfigurationError(f"{name} is {raw!r}, but must be at least {at_least}.")
    return value
