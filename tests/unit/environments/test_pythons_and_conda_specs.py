"""conda's words in pip's, and which Python versions are tried for a range."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.environments.conda_specs import by_pip, conda_name, on_pypi, versions
from mlflow_serving_plugin.environments.pythons import candidates, fits, too_old

VERSIONS = {
    "numpy": ("",),
    "numpy *": ("",),
    "numpy=1.21": ("==1.21.*",),
    "numpy=1.21.*": ("==1.21.*",),
    "numpy==1.21.2": ("==1.21.2",),
    "numpy 1.21.2": ("==1.21.2",),
    "numpy 1.21.*": ("==1.21.*",),
    "numpy=1.21.2=py38h20f2e39_0": ("==1.21.2",),
    "numpy==1.21.2=py38h20f2e39_0": ("==1.21.2",),
    "numpy 1.21.2 py38_0": ("==1.21.2",),
    "numpy >=1.20, <2": (">=1.20,<2",),
    "numpy>=1.20|1.19.5": (">=1.20", "==1.19.5"),
    "numpy!=1.20.*": ("!=1.20.*",),
    "numpy>=1.20.*": (">=1.20",),
    "conda-forge::numpy=1.21": ("==1.21.*",),
    "numpy[version='>=1.20,<2', build=py38]": (">=1.20,<2",),
    "numpy[build=py38]": ("",),
    "numpy=^1.*$": None,
}


@pytest.mark.parametrize("spec", VERSIONS)
def test_the_versions_that_a_match_spec_admits(spec):
    assert conda_name(spec) == "numpy"
    assert versions(spec) == VERSIONS[spec]


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("scikit-learn=1.7.0", "scikit-learn==1.7.0.*"),
        ("pytorch>=2", "torch>=2"),
        ("conda-forge::py-xgboost", "xgboost"),
        ("Pandas=2.0=py311", "pandas==2.0"),
        ("cudatoolkit=11.3", None),
        ("numpy>=2|1.26", None),
    ],
)
def test_the_requirement_that_takes_a_package_from_pypi(spec, line):
    assert on_pypi(spec) == line


def test_what_the_model_s_requirements_name_already_is_not_asked_for_again():
    assert by_pip(["numpy=1.21", "gdal", "pytorch=2.1"], {"numpy"}) == (("torch==2.1.*",), ("gdal",))


@pytest.mark.parametrize(
    ("range_", "logged", "expected"),
    [
        (">=3.7.12", "3.11", ("3.11",)),
        (">=3.10", "3.12", ("3.12", "3.11")),
        (">=3.7", None, ("3.11",)),
        # What the model was logged with does not count when it does not fit, or when no worker runs on it.
        (">=3.11", "3.10", ("3.11",)),
        (">=3.7", "3.7", ("3.11",)),
        (">=3.9,<3.11", "3.9", ("3.9", "3.10")),
        (">=3.8,<3.10", None, ("3.9", "3.8")),
        ("<3.8", None, ("3.7", "3.6")),
        ("<3.11.4", None, ("3.11",)),
        (">=3.10.5,<3.10.9", None, ("3.10",)),
        ("<3", None, ()),
    ],
)
def test_any_python_that_fits_first_the_one_the_model_was_logged_with_then_the_server_s(range_, logged, expected):
    assert candidates((range_,), logged=logged, server="3.11") == expected


def test_alternatives_fit_when_one_does():
    assert fits("3.9", (">=3.11", "==3.9.*"))
    assert not fits("3.10", (">=3.11", "==3.9.*"))
    assert (too_old("3.7"), too_old("3.8"), too_old("3.10")) == (True, False, False)
