"""``MLmodel`` files: read once for all who need them, whatever is missing in them."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.host.mlmodel import MlModel, read_mlmodel

FULL = """
flavors:
  python_function: {loader_module: mlflow.sklearn, env: conda.yaml}
  sklearn: {}
saved_input_example_info: {type: dataframe}
signature: {inputs: '[]'}
"""


def written(directory, text):
    (directory / "MLmodel").write_text(text)
    return directory


def test_the_parts_that_the_server_needs_are_read(tmp_path):
    assert read_mlmodel(written(tmp_path, FULL)) == MlModel(
        {"loader_module": "mlflow.sklearn", "env": "conda.yaml"}, {"type": "dataframe"}, {"inputs": "[]"}
    )


@pytest.mark.parametrize("text", ["{}", "flavors:", "flavors: {python_function: }", "flavors: [1]", "signature: no"])
def test_a_part_that_is_missing_or_of_another_kind_is_empty(tmp_path, text):
    assert read_mlmodel(written(tmp_path, text)) == MlModel({}, {}, {})


@pytest.mark.parametrize("text", ["", "- a", "a: [", "\x00"], ids=["empty", "a list", "broken", "binary"])
def test_a_file_that_is_no_yaml_mapping_is_a_value_error(tmp_path, text):
    with pytest.raises(ValueError, match="not"):
        read_mlmodel(written(tmp_path, text))


def test_a_file_that_is_not_there_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        read_mlmodel(tmp_path)


@pytest.mark.parametrize(
    ("flavors", "found"),
    [
        (
            "python_function: {loader_module: mlflow.sklearn, python_version: 3.9}, sklearn: {sklearn_version: 1.4.2}",
            {"Python": "3.9", "MLflow": "2.9.2", "scikit-learn": "1.4.2"},
        ),
        (
            "python_function: {loader_module: mlflow.xgboost}, xgboost: {xgb_version: 2.0.3}, sklearn: {}",
            {"MLflow": "2.9.2", "xgboost": "2.0.3"},
        ),
        # The flavor that serves counts, not another one that the model has as well.
        (
            "python_function: {loader_module: mlflow.pyfunc.model}, sklearn: {sklearn_version: 1.4.2}",
            {"MLflow": "2.9.2"},
        ),
        (
            "python_function: {loader_module: mlflow.pytorch}, pytorch: {pytorch_version: 2.1.0+cu121}",
            {"MLflow": "2.9.2", "torch": "2.1.0+cu121"},
        ),
        ("python_function: {loader_module: [1]}, sklearn: 7", {"MLflow": "2.9.2"}),
    ],
)
def test_what_a_model_was_logged_with_is_python_mlflow_and_the_library_of_its_flavor(tmp_path, flavors, found):
    text = f"flavors: {{{flavors}}}\nmlflow_version: 2.9.2\n"
    assert read_mlmodel(written(tmp_path, text)).logged_with == found
