"""Variables of MLflow that allow or forbid something: the operator sets them for the server, and they count in workers.

Such as ``MLFLOW_ALLOW_PICKLE_DESERIALIZATION``, or the allowed schemes of URIs. No such variable holds a secret. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_RESTRICTION = re.compile(r"MLFLOW_(?!SERVER_|SERVING_|GATEWAY_)(\w+_)?(ALLOW|DENY|DISABLE|FORBID|RESTRICT)(ED|D)?_\w+")


def is_restriction(name: str) -> bool:
    """Whether a variable allows or forbids something, by its name: later versions of MLflow have more of them."""
    return _RESTRICTION.fullmatch(name) is not None


def restrictions(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that allow or forbid something."""
    return {name: value for name, value in environ.items() if is_restriction(name)}
