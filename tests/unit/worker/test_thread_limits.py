"""How many threads the variables of an endpoint ask for."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.worker.thread_limits import limits_of


@pytest.mark.parametrize(
    ("variables", "limits"),
    [
        ({}, {}),
        ({"TOKENIZERS_PARALLELISM": "false"}, {}),
        ({"OMP_NUM_THREADS": "2"}, {"blas": 2, "openmp": 2}),
        ({"OMP_NUM_THREADS": "4,2"}, {"blas": 4, "openmp": 4}),
        ({"OPENBLAS_NUM_THREADS": "3", "OMP_NUM_THREADS": "2"}, {"blas": 3, "openmp": 2}),
        ({"MKL_NUM_THREADS": " 3 "}, {"blas": 3}),
        ({"OMP_NUM_THREADS": "0"}, {}),
        ({"OMP_NUM_THREADS": "many"}, {}),
    ],
)
def test_variables_of_an_endpoint_limit_the_threads_of(variables: dict[str, str], limits: dict[str, int]) -> None:
    assert limits_of(variables) == limits
