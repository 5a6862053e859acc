"""The cache of a model on this host: a directory that outlives the model's workers, for what its libraries keep.

Each model of an endpoint has one of its own, since what is read from a cache may be code. Who looks after a worker ends
one whose cache grows beyond the limit, see ``worker.cache_use``; here such a cache is emptied before the next start.
"""

from __future__ import annotations

import shutil

from mlflow_serving_plugin.backends.base import WorkerFailedError, WorkerSpec
from mlflow_serving_plugin.worker.cache_use import used_bytes

_MB = 1024 * 1024
_DIRECTORIES = {
    "XDG_CACHE_HOME": "",
    "CUDA_CACHE_PATH": "cuda",
    "NUMBA_CACHE_DIR": "numba",
    "TORCHINDUCTOR_CACHE_DIR": "torchinductor",
    "TRITON_CACHE_DIR": "triton",
}
"""Variables of libraries, and their parts of the cache. Hugging Face's, torch and matplotlib know the first."""


def cache_variables(spec: WorkerSpec) -> dict[str, str]:
    """Where a worker's libraries are to keep what they keep; nothing without a cache."""
    return {name: str(spec.cache / part) for name, part in _DIRECTORIES.items()} if spec.cache else {}


def prepare_cache(spec: WorkerSpec) -> str | None:
    """Make the directory of a worker's cache, and empty one that is beyond the limit: its path. WorkerFailedError."""
    cache, most_mb = spec.cache, spec.settings.cache_mb
    if cache is None or most_mb is None:
        return None
    try:
        if used_bytes(str(cache)) > most_mb * _MB:
            # Part of what a library keeps may be of no use without the rest.
            shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise WorkerFailedError(f"The model's cache could not be made: {error.strerror}.") from error
    return str(cache)
