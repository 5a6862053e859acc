"""From a model's files to what environment it asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlflow_serving_plugin.environments.requirement import named
from mlflow_serving_plugin.environments.spec import EnvironmentSpec, RequirementsError, identity, read_spec

PYTHON_ENV = """
python: 3.10.13
build_dependencies:
- pip==23.2.1
- setuptools==65.5.0
- wheel
dependencies:
- -r requirements.txt
"""
CONDA = """
channels:
- conda-forge
dependencies:
- python=3.9.7
- pip<=23
- pip:
  - mlflow==1.27.0
  - scikit-learn==1.0.2
name: mlflow-env
"""


@pytest.fixture
def model(tmp_path):
    def write(**files: str) -> Path:
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_txt", ".txt").replace("_yaml", ".yaml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
        return tmp_path

    return write


def test_a_model_of_today_is_described_by_its_python_env_and_requirements(model):
    directory = model(python_env_yaml=PYTHON_ENV, conda_yaml=CONDA, requirements_txt="mlflow==3.1\nscikit-learn==1.5\n")
    assert read_spec(directory) == EnvironmentSpec(
        python="3.10",
        requirements=("mlflow==3.1", "scikit-learn==1.5"),
        build_requirements=("pip==23.2.1", "setuptools==65.5.0", "wheel"),
        channels=("conda-forge",),
        conda_python="python=3.9.7",
    )


def test_a_model_from_before_python_env_is_described_by_its_conda_file(model):
    spec = read_spec(model(conda_yaml=CONDA, MLmodel="flavors: {python_function: {env: conda.yaml}}\n"))
    assert spec.python == "3.9"
    assert spec.requirements == ("mlflow==1.27.0", "scikit-learn==1.0.2")
    assert spec.conda_packages == ()


def test_the_files_that_the_mlmodel_names_are_the_ones_read(model):
    env = "flavors: {python_function: {env: {conda: other/c.yaml, virtualenv: other/p.yaml}, python_version: 3.8.1}}\n"
    directory = model(MLmodel=env, python_env_yaml=PYTHON_ENV)
    (directory / "other").mkdir()
    (directory / "other" / "p.yaml").write_text("dependencies: [six]\n")
    assert read_spec(directory) == EnvironmentSpec(
        python="3.8", requirements=("six",), logged_with=(("Python", "3.8.1"),)
    )


def test_conda_s_own_packages_are_told_from_python_and_pip(model):
    conda = "dependencies: [python>=3.10, pip, 'conda-forge::libfoo=1.2', gdal ==3.6, {pip: [six]}]\n"
    spec = read_spec(model(conda_yaml=conda))
    assert spec.conda_packages == ("conda-forge::libfoo=1.2", "gdal ==3.6")
    assert (spec.conda_python, spec.python, spec.python_range) == ("python>=3.10", None, (">=3.10",))


@pytest.mark.parametrize(
    ("conda", "python_env", "python", "python_range"),
    [
        # MLflow writes the number of a range into python_env.yaml, as if the range were a pin.
        ("python>=3.7.12", "3.7.12", None, (">=3.7.12",)),
        ("python>=3.7.12", "3.11.7", "3.11", ()),
        ("python=3.7.9", "3.7.9", "3.7", ()),
        ("python>=3.8,<3.12", "", None, (">=3.8,<3.12",)),
        ("python 3.9.* *_cpython", "", "3.9", ()),
        ("python", "", None, ("",)),
        ("python", "3.10.13", "3.10", ()),
        ("python~=3.8", "", None, ("~=3.8",)),
        ("python~=3.8.1", "", "3.8", ()),
        ("conda-forge::python==3.10", "", "3.10", ()),
        ("python[version='>=3.9']", "", None, (">=3.9",)),
        # Without quotes YAML reads the number 3.1.
        ("pip", "3.10", "3.10", ()),
    ],
)
def test_a_range_of_python_versions_is_told_from_one_version(model, conda, python_env, python, python_range):
    env = f"python: {python_env}\n" if python_env else "{}\n"
    spec = read_spec(model(conda_yaml=f'dependencies: ["{conda}"]\n', python_env_yaml=env))
    assert (spec.python, spec.python_range) == (python, python_range)


def test_a_model_without_any_of_the_files_asks_for_nothing(tmp_path):
    assert read_spec(tmp_path) == EnvironmentSpec()


def test_requirements_may_be_commented_continued_and_in_several_files(model):
    text = "# all of it\nsix==1.16  # for two\nscikit-learn \\\n  ==1.5\n-r more/x.txt\n-c limits.txt\n\n"
    directory = model(requirements_txt=text, limits_txt="numpy<2\n")
    (directory / "more").mkdir()
    (directory / "more" / "x.txt").write_text("-r y.txt\npandas\n")
    (directory / "more" / "y.txt").write_text("pytz\n")
    spec = read_spec(directory)
    assert spec.requirements == ("six==1.16", "scikit-learn ==1.5", "pytz", "pandas")
    assert spec.constraints == ("numpy<2",)


@pytest.mark.parametrize(
    "line", ["-r ../outside.txt", "-r /etc/passwd", "--requirement=missing.txt", "-r requirements.txt"]
)
def test_a_requirements_file_that_is_not_the_model_s_or_not_there_is_named(model, line):
    (model(requirements_txt=f"{line}\n").parent / "outside.txt").write_text("six\n")
    with pytest.raises(RequirementsError) as raised:
        read_spec(model())
    assert line.replace("=", " ").split()[-1].split("/")[-1] in raised.value.message


def test_lines_are_known_by_the_projects_that_they_name():
    lines = [
        "Scikit_Learn[extra]==1.5 ; python_version > '3'",
        "--extra-index-url x",
        "./wheels/a.whl",
        "m @ git+https://h/r",
    ]
    assert list(named(lines)) == ["scikit-learn", "m"]


def test_a_file_that_comes_with_the_model_is_known_by_its_content(tmp_path):
    (tmp_path / "wheels").mkdir()
    wheel = tmp_path / "wheels" / "a-1-py3-none-any.whl"
    wheel.write_bytes(b"one")
    first = identity(tmp_path, "wheels/a-1-py3-none-any.whl")
    wheel.write_bytes(b"two")
    assert identity(tmp_path, "wheels/a-1-py3-none-any.whl") != first
    assert identity(tmp_path, "six==1.16") == "six==1.16"
    assert identity(tmp_path, "x @ https://host/wheels/a-1-py3-none-any.whl").startswith("x @ https")


@pytest.mark.parametrize("name", ["MLmodel", "conda_yaml", "python_env_yaml"])
@pytest.mark.parametrize(
    "content",
    ["a: [\n", "- a\n  b\n\tc", "x: " + "[" * 3000, "x: " + "[" * 300_000, "- " * 300_000],
    ids=["open", "tab", "deep", "abyss", "deep list"],
)
def test_a_file_that_is_no_yaml_or_nested_beyond_reading_is_named(model, name, content):
    with pytest.raises(RequirementsError, match=f"The model's {name.replace('_y', '.y')} cannot be read"):
        read_spec(model(**{name: content}))
