"""How many threads BLAS and OpenMP use in a worker, said by the variables that these libraries read."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping

from mlflow_serving_plugin.domain.config import WorkerSettings

_NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS")


def thread_variables(
    settings: WorkerSettings, replicas: int, environ: Mapping[str, str], cores: int | None = None
) -> dict[str, str]:
    """The variables for an endpoint's ``threads``; by default, several replicas on a host share its ``cores``, and a
    worker has no more threads than ``cpus``.

    The endpoint's own variables are no part of the result, and go before it. Without ``threads``, a variable of the
    endpoint or of the server (``environ``) leaves all of them as they are.
    """
    if settings.threads is not None:
        return dict.fromkeys(_NAMES, str(settings.threads))
    if any(name in environ or name in settings.environment for name in _NAMES):
        return {}
    shares = [math.ceil(settings.cpus)] if settings.cpus else []
    if replicas > 1:
        shares.append(max(1, (cores or _cores()) // replicas))
    return dict.fromkeys(_NAMES, str(min(shares))) if shares else {}


def _cores() -> int:
    """Cores that this process may use; of all that the machine has where the system does not tell."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
