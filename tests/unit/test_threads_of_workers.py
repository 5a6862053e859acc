"""How many threads BLAS and OpenMP use in a worker."""

from __future__ import annotations

from typing import Any

import pytest

from mlflow_serving_plugin.backends.threads import thread_variables
from mlflow_serving_plugin.domain.config import WorkerSettings

CORES = 8


def said(replicas: int, environ: dict[str, str] | None = None, **settings: Any) -> set[str]:
    """The values of the variables."""
    return set(thread_variables(WorkerSettings(**settings), replicas, environ or {}, CORES).values())


@pytest.mark.parametrize(("replicas", "share"), [(1, set()), (2, {"4"}), (3, {"2"}), (8, {"1"}), (64, {"1"})])
def test_several_replicas_share_the_cores_and_one_leaves_the_number_to_the_libraries(replicas, share):
    assert said(replicas) == share


def test_threads_of_an_endpoint_count_whatever_the_replicas_and_the_server_s_variables():
    assert said(1, threads=3) == {"3"}
    assert said(64, {"OMP_NUM_THREADS": "5"}, threads=3) == {"3"}


@pytest.mark.parametrize("name", ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"])
def test_a_variable_of_the_server_or_of_the_endpoint_goes_before_the_share(name):
    assert said(2, {name: "5"}) == set()
    assert said(2, environment={name: "5"}) == set()


def test_the_share_is_at_least_one_on_this_machine_too():
    assert set(thread_variables(WorkerSettings(), 10_000, {}).values()) == {"1"}


@pytest.mark.parametrize(
    ("replicas", "cpus", "share"), [(1, 1.5, {"2"}), (2, 1, {"1"}), (2, 16, {"4"}), (1, 0.1, {"1"})]
)
def test_a_worker_has_no_more_threads_than_its_endpoint_s_cpus(replicas, cpus, share):
    assert said(replicas, cpus=cpus) == share
    assert said(replicas, cpus=cpus, threads=3) == {"3"}
