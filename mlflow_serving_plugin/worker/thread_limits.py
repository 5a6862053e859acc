"""``OMP_NUM_THREADS`` and the like, for a worker that was forked after numeric libraries had read them.

A library that is imported later reads the variables by itself. Those that the zygote has imported are told with
threadpoolctl, where the model's environment has it: scikit-learn brings it along.
"""

from __future__ import annotations

import sys
from typing import Dict, Mapping

_BLAS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")
"""The first that is set counts: OpenBLAS, MKL and BLIS all fall back on OpenMP's."""

_limits: Dict[str, int] = {}
"""This process's, by threadpoolctl's names of kinds of libraries."""


def limits_of(variables: Mapping[str, str]) -> dict[str, int]:
    """The number of threads for ``blas`` and ``openmp``, as far as variables of an endpoint set it."""
    found = {}
    for kind, names in (("blas", _BLAS), ("openmp", ("OMP_NUM_THREADS",))):
        # OpenMP's may be a list, for nested regions.
        number = next((variables[name] for name in names if name in variables), "").split(",")[0].strip()
        if number.isdigit() and int(number) > 0:
            found[kind] = int(number)
    return found


def set_limits(variables: Mapping[str, str]) -> None:
    """Have the libraries of this process use as many threads as an endpoint's variables say."""
    _limits.update(limits_of(variables))
    if _limits and not limit_this_thread():
        print(
            "The limit of threads has no effect on libraries that were imported before the fork, because the model's "
            "environment has no threadpoolctl.",
            file=sys.stderr,
            flush=True,
        )


def limit_this_thread() -> bool:
    """Limit what this thread calls: OpenMP counts the threads for each caller. False without threadpoolctl."""
    if not _limits:
        return True
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return False
    # The limits stay until the object is asked to restore the former ones.
    threadpool_limits(limits=dict(_limits))
    return True
