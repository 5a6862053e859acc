"""Which way a model gets its environment, what goes into it, and when two models share one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mlflow_serving_plugin.environments.installed import first_unsatisfied
from mlflow_serving_plugin.environments.recipe import choose, write_recipe
from mlflow_serving_plugin.environments.spec import EnvironmentSpec

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
    choice = choose(spec, asked, server_python="3.11", unsatisfied=unsatisfied)
    assert choice.manager == manager
    assert choice.why


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
    choice = choose(spec, manager, server_python="3.11", unsatisfied=unsatisfied)
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


@pytest.mark.parametrize(
    ("lines", "added"),
    [
        (("six",), "mlflow<=3.17.2"),
        (("mlflow-skinny==2.9",), "mlflow==2.9"),
        (("mlflow[extras]>2",), None),
        (("mlflow @ git+https://h/r",), None),
    ],
)
def test_mlflow_is_added_when_nothing_names_it(lines, added):
    assert recipe_of(replace(SPEC, requirements=lines)).requirements == (lines if added is None else (*lines, added))


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
    assert recipe.conda_packages == ("python=3.11", "mlflow=2.0", "gdal")
    assert recipe.requirements == ("six",)
    assert recipe_of(replace(spec, conda_python="python=3.8.2"), "conda").conda_packages[0] == "python=3.8.2"
    assert recipe_of(spec, "uv").conda_packages == ()
