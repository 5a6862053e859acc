"""The reason of a version whose model was logged with another version of its library."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from support.controller import a_need

from mlflow_serving_plugin.backends.base import WorkerSpec
from mlflow_serving_plugin.backends.runtime import with_versions
from mlflow_serving_plugin.domain.config import WorkerSettings
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.environments.ready import Environment

ERROR = "AttributeError: Can't get attribute '_RemainderColsList' on <module 'sklearn.compose._column_transformer'>"
SAID = "The model was logged with scikit-learn 1.4.2, here 1.9.1: "


def reason(error=ERROR, *, logged=(("Python", "3.11.7"), ("scikit-learn", "1.4.2")), here="1.9.1", manager="local"):
    libraries = (("scikit-learn", here),) if here else ()
    spec = WorkerSpec(
        key=EntityKey("e", "1"),
        fingerprint="f",
        model_dir=Path("model"),
        log=Path("log"),
        settings=WorkerSettings(env_manager=manager, request_timeout_s=60.0),
        example=None,
        environment=Environment("", "local", "python", "3.12.1", "3.17.2", libraries=libraries),
        recipe=replace(a_need().recipe, logged_with=logged),
    )
    return with_versions(error, spec)


def test_both_versions_are_named_and_what_to_set():
    assert (
        reason() == f"{ERROR}. {SAID}set env_manager to auto, or pin scikit-learn==1.4.2 in the model's requirements."
    )
    assert reason(manager="auto") == f"{ERROR}. {SAID}pin scikit-learn==1.4.2 in the model's requirements."


@pytest.mark.parametrize(
    "same",
    [
        {"here": "1.4.2"},
        {"here": ""},
        {"logged": ()},
        {"logged": (("Python", "3.9.1"), ("MLflow", "1.30.0"))},
        {"error": "The worker did not answer within the start timeout. See the version's log."},
    ],
    ids=["the same", "none there", "unknown", "a custom model", "no error"],
)
def test_a_reason_that_has_nothing_to_do_with_versions_stays(same):
    assert reason(**same) == same.get("error", ERROR)
