"""MLflow's own client, API and pages work on a serving server as on any other."""

from __future__ import annotations

import warnings
from pathlib import Path

import mlflow
import pytest
import requests
from support.models import Models
from support.server import TrackingServer
from support.tracking import tracking_at


@pytest.fixture
def tracking(plain: TrackingServer):
    """MLflow's fluent API, set to the server for the length of a test."""
    with tracking_at(plain.url), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield plain


def test_log_register_search_and_download_round_trip(tracking: TrackingServer, models: Models, tmp_path: Path) -> None:
    mlflow.set_experiment("round trip")
    with mlflow.start_run() as run:
        mlflow.log_params({"alpha": 0.5})
        mlflow.log_metric("loss", 0.25)
        mlflow.log_text("as it was", "notes/note.txt")
        classifier = mlflow.sklearn.load_model(str(models.path("iris-1")))
        info = mlflow.sklearn.log_model(
            classifier,
            name="model",
            input_example=models.iris.head(2),
            registered_model_name="logged",
            pip_requirements=["scikit-learn"],
        )
    found = mlflow.search_runs(experiment_names=["round trip"], filter_string="metrics.loss < 1")
    assert list(found["run_id"]) == [run.info.run_id]
    assert [model.name for model in mlflow.search_registered_models(filter_string="name = 'logged'")] == ["logged"]
    assert tracking.client.get_run(run.info.run_id).info.artifact_uri.startswith("mlflow-artifacts:")
    note = mlflow.artifacts.download_artifacts(
        run_id=run.info.run_id, artifact_path="notes/note.txt", dst_path=str(tmp_path)
    )
    assert Path(note).read_text() == "as it was"
    loaded = mlflow.pyfunc.load_model("models:/logged/1")
    assert loaded.predict(models.iris).tolist() == models.iris_predictions(1, models.iris)
    assert int(info.registered_model_version) == 1


@pytest.mark.parametrize("path", ["/", "/health", "/version"])
def test_pages_answer_as_before(plain: TrackingServer, path: str) -> None:
    response = requests.get(plain.url + path)
    assert response.status_code == 200
    if path == "/version":
        assert response.text == mlflow.__version__
    if path == "/":
        assert '<div id="root"' in response.text


@pytest.mark.parametrize("api", ["api", "ajax-api"])
def test_the_rest_api_answers_as_before(plain: TrackingServer, api: str) -> None:
    found = requests.get(f"{plain.url}/{api}/2.0/mlflow/registered-models/search")
    assert found.status_code == 200
    assert "iris" in [model["name"] for model in found.json()["registered_models"]]
    found = requests.post(f"{plain.url}/{api}/2.0/mlflow/experiments/search", json={"max_results": 5})
    assert found.status_code == 200
    assert found.json()["experiments"]
    assert requests.get(f"{plain.url}/{api}/2.0/mlflow/no-such-route").status_code == 404
