"""Which way a model gets its environment, what goes into it, and when two models share one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.environments.installed import first_unsatisfied
from mlflow_serving_plugin.environments.recipe import choose, write_recipe
from mlflow_serving_plugin.environments.spec import EnvironmentSpec, RequirementsError

SPEC = EnvironmentSpec(python="3.11", requirements=("mlflow==3.17.2", "scikit-learn==1.5"))
INSTALLED = {"mlflow": "3.17.2", "scikit-learn": "1.5.0", "boto3": "1.0", "six": "1.17.0rc1"}
REQUIRES = {"mlflow": ["boto3 ; extra == 'aws'", "azure ; extra == 'azure'", "six"]}


def unsatisfied(lines):
    return first_unsatisfied(lines, INSTALLED.get, lambda name: REQUIRES.get(name, []))


CHOICES = {
    "what the server has is used": (SPEC, "auto", "local"),
    "another version has to be installed": (replace(SPEC, requirements=("scikit-learn==1.6",)), "auto", "uv"),
    "another python has to be found": (replace(SPEC, python="3.10"), "auto", "uv"),
    "a model that says no python takes the server's": (replace(SPEC, python=None), "auto", "local"),
    "constraints are for a resolver": (replace(SPEC, constraints=("numpy<2",)), "auto", "uv"),
    "conda's packages are conda's business": (replace(SPEC, conda_packages=("gdal",)), "auto", "conda"),
    "whoever names a manager gets it": (SPEC, "virtualenv", "virtualenv"),
    "local is never second-guessed": (replace(SPEC, python="3.6"), "local", "local"),
}


@pytest.mark.parametrize("case", CHOICES)
def test_the_choice_when(case):
    spec, asked, manager = CHOICES[case]
    choice = choose(spec, asked, server_python="3.11", unsatisfied=unsatisfied, installed=INSTALLED.get)
    assert choice.manager == manager
    assert choice.why


LOGGED = (("Python", "3.11.2"), ("MLflow", "3.10.1"), ("scikit-learn", "1.4.2"))


@pytest.mark.parametrize(
    ("asked", "logged", "why", "pins"),
    [
        (
            "scikit-learn>=1.3",
            "1.4.2",
            "logged with scikit-learn 1.4.2, the server has 1.5.0",
            ("scikit-learn==1.4.2",),
        ),
        ("scikit-learn", "1.4.2", "the server has 1.5.0", ("scikit-learn==1.4.2",)),
        ("six", "1.4.2", "the server has 1.5.0", ("scikit-learn==1.4.2",)),
        ("scikit-learn>=1.3", "1.5.0+cu121", "the server's own interpreter", ("scikit-learn==1.5.0",)),
        ("scikit-learn==1.5.0", "1.4.2", "the server's own interpreter", ()),
        ("scikit-learn>=1.5", "1.4.2", "the server's own interpreter", ()),
        ("scikit-learn>=1.3", "unknown", "the server's own interpreter", ()),
        ("scikit-learn<1.4 ; python_version < '3.9'", "1.4.2", "the server has 1.5.0", ("scikit-learn==1.4.2",)),
        ("scikit-learn==1.4.*", "1.4.2", "the model wants scikit-learn==1.4.*", ("scikit-learn==1.4.2",)),
        ("scikit-learn @ https://h/s-1.whl", "1.4.2", "names a file or URL", ()),
    ],
)
def test_the_library_s_version_at_logging_counts_when_the_requirement_leaves_it_open(asked, logged, why, pins):
    spec = replace(SPEC, requirements=("mlflow", asked), logged_with=(*LOGGED[:2], ("scikit-learn", logged)))
    recipe = recipe_of(spec, "auto")
    assert why in recipe.why
    assert recipe.preferred == (pins if recipe.manager == "uv" else ())
    assert recipe.local_fits == ("the server has 1.5.0" in why)
    assert recipe_of(spec, "uv").preferred == pins
    assert recipe_of(spec, "local").preferred == ()


@pytest.mark.parametrize(
    ("packages", "manager", "why", "line"),
    [
        (("scikit-learn=1.5.0",), "local", "all that the model asks for", "scikit-learn==1.5.0.*"),
        (("scikit-learn=0.23.2",), "uv", "the model wants scikit-learn==0.23.2.*", "scikit-learn==0.23.2.*"),
        (("scikit-learn=0.23.2", "gdal"), "conda", "conda.yaml names gdal", None),
    ],
)
def test_a_package_of_conda_s_that_pypi_has_too_comes_from_there(packages, manager, why, line):
    recipe = recipe_of(replace(SPEC, requirements=("mlflow",), conda_packages=packages), "auto")
    assert recipe.manager == manager
    assert why in recipe.why
    assert recipe.requirements == (("mlflow", line) if line else ("mlflow",))
    assert recipe.conda_packages == (() if line else packages)


def test_a_version_that_conda_names_is_not_open():
    logged = (("scikit-learn", "1.4.2"),)
    spec = replace(SPEC, requirements=("mlflow",), conda_packages=("scikit-learn=1.5.0",), logged_with=logged)
    assert (recipe_of(spec, "auto").manager, recipe_of(spec, "uv").preferred) == ("local", ())
    assert recipe_of(replace(spec, created="2022-01-01"), "conda").limits == ()


def test_what_is_left_out_of_conda_s_packages_is_said():
    spec = replace(SPEC, conda_packages=("scikit-learn=1.7.0", "gdal=3", "libfoo"))
    recipe = recipe_of(spec, "uv")
    assert recipe.why == "as configured; conda.yaml's gdal=3, libfoo left out, as PyPI is not known to have them"
    # The model's own requirement counts.
    assert recipe.requirements == SPEC.requirements


def test_a_python_on_which_no_worker_runs_is_said_before_anything_is_built():
    old = replace(SPEC, python="3.7")
    for manager in ("auto", "uv", "virtualenv", "conda"):
        with pytest.raises(RequirementsError, match=r"asks for Python 3\.7, and a worker needs Python 3\.8"):
            recipe_of(old, manager)
    assert recipe_of(old, "local").manager == "local"
    with pytest.raises(RequirementsError, match=r"Python 3\.7"):
        recipe_of(replace(SPEC, python=None, python_range=("<3.8",)))


def test_a_range_of_python_versions_is_tried_in_order():
    spec = replace(SPEC, python=None, python_range=(">=3.9",), logged_with=(("Python", "3.10.2"),))
    assert recipe_of(spec, "auto").pythons == ("3.10", "3.11")
    assert "the model wants Python 3.10" in recipe_of(spec, "auto").why
    assert recipe_of(replace(spec, logged_with=()), "auto").manager == "local"
    solved = recipe_of(replace(spec, conda_python="python>=3.9", conda_packages=("gdal",)), "auto")
    assert (solved.pythons, solved.conda_python) == (("3.10", "3.11"), "python>=3.9")
    assert recipe_of(spec).key != recipe_of(replace(SPEC, python="3.10")).key


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("mlflow", None),
        ("MLflow>=3", None),
        ("six", None),
        ("mlflow[aws]", None),
        ("nothing==1 ; python_version < '3'", None),
        ("nothing==1", "the server has no nothing"),
        ("scikit-learn<1.5", "the server has scikit-learn 1.5.0, the model wants scikit-learn<1.5"),
        ("mlflow[azure]", "the server has no azure"),
        ("mlflow @ git+https://u:secret@host/r", "the model names a file or URL to install"),
        ("./wheels/a.whl", "the model names a file or URL to install"),
        ("--extra-index-url https://u:secret@host/simple", "the model comes with options for pip"),
    ],
)
def test_why_the_server_s_interpreter_is_not_what_a_line_asks_for(line, reason):
    assert unsatisfied([line]) == reason


def recipe_of(spec, manager="uv", model="/models/1", **server):
    choice = choose(spec, manager, server_python="3.11", unsatisfied=unsatisfied, installed=INSTALLED.get)
    told = {"server_python": "3.11", "server_mlflow": "3.17.2", **server}
    return write_recipe(spec, choice, Path(model), **told)


def test_the_same_requirements_in_another_order_make_the_same_environment_for_another_model():
    turned = replace(SPEC, requirements=SPEC.requirements[::-1])
    assert recipe_of(SPEC).key == recipe_of(turned, model="/models/2").key


@pytest.mark.parametrize(
    "change",
    [
        {"python": "3.10"},
        {"requirements": ("mlflow==3.17.2",)},
        {"constraints": ("numpy<2",)},
        {"build_requirements": ("setuptools==65",)},
    ],
)
def test_whatever_changes_what_is_installed_makes_another_environment(change):
    assert recipe_of(replace(SPEC, **change)).key != recipe_of(SPEC).key


def test_the_server_s_constraints_and_the_manager_make_another_environment():
    assert len({recipe_of(SPEC).key, recipe_of(SPEC, server_constraints="a<1").key, recipe_of(SPEC, "conda").key}) == 3
    assert recipe_of(SPEC, "local").key == ""


GIT = "git+https://github.com/mlflow/mlflow.git@abc"


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        (("six",), "mlflow<=3.17.2"),
        (("mlflow-skinny==2.9",), "mlflow==2.9"),
        (("mlflow", "mlflow-skinny==1.27.0", "statsmodels==0.13.2"), "mlflow==1.27.0"),
        (("MLflow_Skinny[sqlserver]~=2.9.0 ; python_version >= '3'",), "mlflow~=2.9.0"),
        (("mlflow-skinny>=2", "mlflow-tracing<3"), "mlflow<3,>=2"),
        (("mlflow-tracing==3.1.0",), "mlflow==3.1.0"),
        (("mlflow>=1", "mlflow-skinny<2"), "mlflow<2"),
        (("mlflow==1.30.1 ; python_version < '3.8'", "six"), "mlflow<=3.17.2"),
        (("mlflow==1.30.1", "mlflow-skinny==1.30.1"), None),
        (("mlflow-skinny",), "mlflow"),
        (("mlflow[extras]>2",), None),
        (("mlflow<2",), None),
        (("mlflow==2.9.* --hash=sha256:00",), None),
        (("mlflow @ git+https://h/r",), None),
        ((GIT,), None),
        (("-e git+https://h/some.git#egg=mlflow",), None),
        (("https://github.com/mlflow/mlflow/archive/refs/tags/v2.9.2.zip",), None),
        (("wheels/mlflow-2.9.2-py3-none-any.whl",), None),
        (("./mlflow-2.9.2.tar.gz", "mlflow-skinny==2.9.2"), None),
        (("wheels/mlflow_skinny-2.9.2-py3-none-any.whl",), "mlflow==2.9.2"),
        ((f"mlflow-skinny @ {GIT}#subdirectory=libs/skinny",), f"mlflow @ {GIT}"),
        ((f"{GIT}#subdirectory=skinny",), f"mlflow @ {GIT}"),
        (("https://github.com/mlflow/mlflow-export-import.git",), "mlflow<=3.17.2"),
        (("mlflow-export-import==1.2",), "mlflow<=3.17.2"),
    ],
)
def test_mlflow_is_whole_and_of_the_version_that_the_requirements_name(lines, added):
    assert recipe_of(replace(SPEC, requirements=lines)).requirements == (lines if added is None else (*lines, added))


@pytest.mark.parametrize(
    ("line", "limited"),
    [
        ("mlflow==1.27.0", True),
        ("mlflow<2", True),
        ("mlflow-skinny~=1.20", True),
        ("mlflow", False),
        ("mlflow>=1.27", False),
        ("mlflow==2.0.1", False),
        ("mlflow>=2.9.1,<2.9.5", False),
        ("six", False),
        ("mlflow==3.17.2", False),
        (GIT, False),
    ],
)
def test_mlflow_1_gets_the_limits_that_its_last_version_names(line, limited):
    recipe = recipe_of(replace(SPEC, requirements=(line,)))
    assert recipe.limits == (("numpy<2", "pandas<2", "protobuf<5") if limited else ())


@pytest.mark.parametrize(
    ("created", "limits"),
    [
        ("2022-04-19 10:11:12.345678", ("numpy<2", "pandas<2")),
        ("2024-06-15 23:00:00.0", ("numpy<2",)),
        ("2024-06-16 00:00:00.0", ()),
        ("", ()),
    ],
)
def test_a_model_gets_no_version_that_was_released_with_a_break_after_it_was_logged(created, limits):
    assert recipe_of(replace(SPEC, created=created)).limits == limits
    old = replace(SPEC, created=created, requirements=("mlflow==1.30.1",))
    assert sorted(recipe_of(old).limits) == ["numpy<2", "pandas<2", "protobuf<5"]


def test_a_constraint_or_conda_may_name_mlflow_s_version():
    spec = replace(SPEC, requirements=("six",))
    assert recipe_of(replace(spec, constraints=("mlflow==3.99",))).requirements[-1] == "mlflow"
    by_conda = replace(spec, conda_packages=("mlflow-skinny=2.9", "gdal"))
    assert recipe_of(by_conda, "conda").requirements[-1] == "mlflow==2.9.*"


def test_a_development_version_of_mlflow_can_be_had_from_nowhere_so_any_will_do():
    spec = replace(SPEC, requirements=("six",))
    assert recipe_of(spec, server_mlflow="3.18.0.dev0").requirements[-1] == "mlflow"


def test_setuptools_is_there_unless_the_model_names_one():
    assert recipe_of(SPEC).build_requirements == ("setuptools<81",)
    pinned = ("pip==23", "setuptools==65.5.0")
    assert recipe_of(replace(SPEC, build_requirements=pinned)).build_requirements == pinned
    assert recipe_of(replace(SPEC, requirements=("setuptools==70",))).build_requirements == ()


def test_conda_gets_a_python_and_what_it_brings_is_not_installed_again():
    spec = replace(SPEC, requirements=("six",), conda_packages=("mlflow=2.0", "gdal"), channels=("conda-forge",))
    recipe = recipe_of(spec, "conda")
    assert recipe.conda_packages == ("mlflow=2.0", "gdal")
    assert recipe.requirements == ("six",)
    assert recipe_of(spec, "uv").conda_packages == ()
    assert recipe_of(spec, "uv").requirements == ("six", "mlflow==2.0.*")
