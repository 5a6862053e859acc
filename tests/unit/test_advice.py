"""Every row of the table of advice, and what is taken out of errors that others wrote."""

from __future__ import annotations

import os  # noqa: F401 - for eval
import re
from traceback import format_exc

import pytest

from mlflow_serving_plugin.domain.advice import TABLE, Advice, advice_for, explain, shorten
from mlflow_serving_plugin.domain.config_schema import CONFIG_SCHEMA
from mlflow_serving_plugin.domain.places import without_places, without_server

_PLACE = re.compile(r"(?<![\w.])/\w+/|\w+://|[A-Z]:\\")


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.seen[:50])
def test_each_row_of_the_table_is_the_first_for_an_error_that_was_seen(row: Advice) -> None:
    for stage in row.stages:
        assert advice_for(row.seen, stage, row.seen_in) is row
        reason = explain(row.seen, stage, row.seen_in)
        assert reason.endswith("."), reason
        assert not _PLACE.search(reason), reason
        assert not re.search(r"[{}]", reason), reason


@pytest.mark.parametrize("row", [row for row in TABLE if row.frame], ids=lambda row: row.seen[:50])
def test_a_row_for_a_place_in_a_traceback_is_not_for_the_same_error_elsewhere(row: Advice) -> None:
    assert all(advice_for(row.seen, stage, 'File "model.py", line 3, in f') is not row for stage in row.stages)


def test_a_setting_that_advice_names_is_a_key_of_the_configuration() -> None:
    keys = set(CONFIG_SCHEMA["properties"])
    for row in TABLE:
        named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", row.sentence)) | set(re.findall(r"\bset (\w+)", row.sentence))
        assert named - keys <= {"code_paths"}, row.sentence


def test_advice_names_what_the_error_names() -> None:
    assert explain("ModuleNotFoundError: No module named 'fancy_lib'", "load") == (
        "ModuleNotFoundError: No module named 'fancy_lib'. The model's environment has no 'fancy_lib': "
        "add its package to the model's requirements."
    )


def test_an_error_without_advice_is_its_own_reason() -> None:
    assert explain("RuntimeError: the licence file is missing", "load") == "RuntimeError: the licence file is missing"
    assert explain("ModuleNotFoundError: No module named 'boto3'", "fetch").endswith("beside MLflow on the server.")


@pytest.mark.parametrize(
    ("code", "advised"),
    [
        ("os.environ['A_KEY']", True),
        ("os.environ.pop('A_KEY')", True),
        ("{}['A_KEY']", False),
    ],
)
def test_a_missing_variable_is_told_apart_from_a_missing_key(code: str, advised: bool) -> None:
    try:
        eval(code)
    except KeyError as error:
        reason = explain(f"KeyError: {error}", "load", "\n".join(map(str.strip, format_exc().splitlines())))
    sentence = ". The model needs the environment variable A_KEY: set environment.A_KEY."
    assert reason == "KeyError: 'A_KEY'" + sentence * advised


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ("ValueError: Please set the HF_TOKEN environment variable", "HF_TOKEN"),
        ('environs.exceptions.EnvError: Environment variable "GITHUB_USER" not set', "GITHUB_USER"),
        ("RuntimeError: DB_URL is missing from the env vars", "DB_URL"),
        ("RuntimeError: no environment variable: API_TOKEN", "API_TOKEN"),
    ],
)
def test_a_variable_that_an_error_names_is_named_with_its_key(error: str, name: str) -> None:
    assert explain(error, "load") == f"{error}. The model needs an environment variable: set environment.{name}."


def test_a_reason_is_one_line_that_ends_in_time() -> None:
    assert shorten("a\n  b" + "x" * 1000) == "a b" + "x" * 396 + "…"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("[Errno 2] No such file: '/srv/s/models/ab/1-cd/model/artifacts\\m.json'", "[Errno 2] No such file: 'm.json'"),
        ('File "/opt/my env/lib/python3.11/x.py", line 3, in f', 'File "x.py", line 3, in f'),
        ("cannot open /srv/state/x.sock: gone", "cannot open x.sock: gone"),
        ("in /srv/state/", "in …"),
        ("currently set to sqlite:////srv/mlflow.db. Perhaps", "currently set to …. Perhaps"),
        ("at mlflow-artifacts:/1/ab/artifacts, and", "at …, and"),
        ("(s3://bucket/a b)", "(… b)"),
        ("postgresql+psycopg2://me:secret@db:5432/mlflow failed", "… failed"),
        ("see https://mlflow.org/docs.", "see …."),
        ("No module at 'C:\\proj\\mcode.py'", "No module at 'mcode.py'"),
        ("runs:/ab/model and models:/base/1 and models:/m-1", "runs:/ab/model and models:/base/1 and models:/m-1"),
        ("artifacts/m.json, and/or 1/2, n/a: a / b", "artifacts/m.json, and/or 1/2, n/a: a / b"),
        ("KeyError: '/'", "KeyError: '/'"),
    ],
)
def test_paths_and_uris_of_the_server_are_taken_out(text: str, left: str) -> None:
    assert without_places(text) == left


def test_a_requirement_keeps_its_url_and_loses_its_password() -> None:
    line = "git+https://me:token@git.example/x@v1 could not be fetched: /srv/state/env/x is no repository"
    assert without_server(line) == "git+https://git.example/x@v1 could not be fetched: x is no repository"
    assert without_server("git+ssh://git@h/a.git is gone") == "git+ssh://h/a.git is gone"
    assert without_server("set to sqlite:////srv/mlflow.db") == "set to …"
