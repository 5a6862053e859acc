"""The script tag in MLflow's page and the script behind it, on a Flask app like MLflow's."""

from __future__ import annotations

import gzip

import pytest
from flask import Flask, send_from_directory

from mlflow_serving_plugin.ui.bundle import Bundle, load_bundle
from mlflow_serving_plugin.ui.pages import add_serving_tab

BUNDLE = Bundle(b"start()", gzip.compress(b"start()"), "0123")
PAGE = "<html><head><title>MLflow</title></head><body></body></html>"


@pytest.fixture
def app(tmp_path):
    return app_like_mlflow_s(tmp_path)


def app_like_mlflow_s(tmp_path):
    (tmp_path / "index.html").write_text(PAGE)
    app = Flask(__name__, static_folder=None)
    app.add_url_rule("/", "serve", lambda: send_from_directory(tmp_path, "index.html", conditional=True))
    app.add_url_rule("/static-files/<path:path>", "static_files", lambda path: (f"MLflow's {path}", 200))
    return app


def test_the_page_gets_one_tag_and_is_otherwise_mlflow_s(app):
    assert add_serving_tab(app, "", BUNDLE)
    answer = app.test_client().get("/")
    tag = '<script defer="defer" src="static-files/mlflow-serving.js?v=0123"></script></head>'
    assert answer.text == PAGE.replace("</head>", tag)
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert "Last-Modified" not in answer.headers


def test_a_page_cached_before_the_plugin_came_is_sent_anew(app, tmp_path):
    before = app_like_mlflow_s(tmp_path).test_client().get("/").headers["ETag"]
    add_serving_tab(app, "", BUNDLE)
    answer = app.test_client().get("/", headers={"If-None-Match": before})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != before


def test_the_script_is_zipped_for_those_who_take_it_and_kept_by_those_who_name_its_content(app):
    add_serving_tab(app, "", BUNDLE)
    client = app.test_client()
    zipped = client.get("/static-files/mlflow-serving.js?v=0123", headers={"Accept-Encoding": "gzip"})
    assert gzip.decompress(zipped.data) == b"start()"
    assert "immutable" in zipped.headers["Cache-Control"]
    plain = client.get("/static-files/mlflow-serving.js?v=old")
    assert (plain.data, plain.headers["Cache-Control"]) == (b"start()", "no-cache")
    assert client.get("/static-files/other.js").text == "MLflow's other.js"


def test_without_a_bundle_or_a_page_mlflow_is_left_as_it_is(app, tmp_path, caplog):
    assert load_bundle(tmp_path / "none.js") is None
    assert not add_serving_tab(Flask(__name__), "", BUNDLE)
    assert "Serving tab is missing" in caplog.text


def test_an_answer_that_is_no_page_is_passed_on(app):
    app.view_functions["serve"] = lambda: ("login first", 401)
    add_serving_tab(app, "", BUNDLE)
    assert app.test_client().get("/").text == "login first"
