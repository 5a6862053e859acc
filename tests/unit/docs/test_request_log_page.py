"""What the page on the request log shows is run as written."""

from __future__ import annotations

import re
import time
from pathlib import Path

import duckdb
import pytest
from support.tracking import tracking_at

from mlflow_serving_plugin.request_log.columns import SCHEMA
from mlflow_serving_plugin.request_log.record import Record, dump
from mlflow_serving_plugin.request_log.segments import Label, Segment
from mlflow_serving_plugin.request_log.writer import Writer

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "request-log.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.search(f"```{language}\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.mark.filterwarnings("ignore")  # of MLflow's own evaluation
def test_the_query_and_the_evaluation_run_as_written(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    directory = tmp_path / "segments"
    directory.mkdir()
    segment = Segment(directory, Label("e1", str(tmp_path / "request-logs/default/iris"), "parquet", (), 30.0, 2**30))
    for number in range(4):
        request, response = f'{{"client_request_id": "c{number}"}}', f'{{"predictions": [{number % 2}]}}'
        now_us = int(time.time() * 1e6)
        record = Record(f"r{number}", now_us, 5, 200, 1.0, "1", None, request.encode(), response.encode())
        segment.append([dump(record)])
    segment.close()
    Writer(directory, lambda *_: None).run_once()
    assert duckdb.sql(block("sql")).fetchall() == [("e1/1", 4, 5.0)]
    Path("labels.csv").write_text("client_request_id,label\nc0,0\nc1,1\nc2,1\nc3,1\n")
    with tracking_at(f"sqlite:///{tmp_path}/mlflow.db"):
        exec(block("python"), {})
    assert capsys.readouterr().out.splitlines()[-1] == "0.75"


def test_the_page_names_every_column():
    for name in SCHEMA.names:
        assert f"`{name}`" in PAGE
