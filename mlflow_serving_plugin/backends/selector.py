"""Which backend runs the workers: the one that the server's settings name."""

from __future__ import annotations

from collections.abc import Callable

from mlflow_serving_plugin.backends.base import Backend
from mlflow_serving_plugin.backends.local import LocalBackend
from mlflow_serving_plugin.host.paths import StatePaths
from mlflow_serving_plugin.settings import Settings


def _ray(settings: Settings, paths: StatePaths) -> Backend:
    # Imported here, because servers without Ray are to pay nothing for it.
    from mlflow_serving_plugin.backends.ray import RayBackend

    return RayBackend(settings, paths)


_BACKENDS: dict[str, Callable[[Settings, StatePaths], Backend]] = {"local": LocalBackend, "ray": _ray}
"""By the choices of the setting ``backend``."""


def select_backend(settings: Settings, paths: StatePaths) -> Backend:
    """The backend that ``settings.backend`` names."""
    return _BACKENDS[settings.backend](settings, paths)
