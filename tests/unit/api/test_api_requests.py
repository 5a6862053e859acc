"""How requests are read and how failures look."""

import logging

import pytest
from support.api import ApiWorld, version

from mlflow_serving_plugin.domain.endpoint import DEFAULT_WORKSPACE

REST = "/api/2.0/mlflow/endpoints"
AJAX = "/ajax-api/2.0/mlflow/endpoints"
FORM = "application/x-www-form-urlencoded"


def enabled(world):
    return world.store.find(DEFAULT_WORKSPACE, "iris") is not None


def test_a_get_may_carry_its_parameters_in_a_json_body(world):
    world.enable()
    for options in ({"json": {"registered_model_name": "iris"}}, {"data": '{"registered_model_name": "iris"}'}):
        assert world.client.get(f"{REST}/get-status", **options).status_code == 200


def test_logs_are_read_by_post_too(world):
    world.enable()
    world.publish(version(1))
    world.write_log("iris", 1, b"hello")
    response = world.client.post(
        f"{REST}/get-version-logs", json={"registered_model_name": "iris", "endpoint_version_name": 1}
    )
    assert response.get_json() == {"logs": "hello", "offset": 0, "next_offset": 5, "total_bytes": 5}


@pytest.mark.parametrize(
    "options",
    [
        {"data": {"registered_model_name": "iris"}},
        {"data": "registered_model_name=iris", "content_type": FORM},
        {"data": '{"registered_model_name": "iris"}', "content_type": FORM},
        {"data": '{"registered_model_name": "iris"}'},
        {"data": {"registered_model_name": "iris"}, "content_type": "multipart/form-data"},
        {"data": '{"registered_model_name": "iris"}', "content_type": "application/json; charset=utf-8"},
    ],
)
def test_a_program_may_send_forms_and_untyped_json_over_rest(world, options):
    assert world.client.post(f"{REST}/enable", **options).status_code == 200
    assert enabled(world)
    assert world.client.post(f"{REST}/disable", **options).status_code == 200
    assert not enabled(world)


@pytest.mark.parametrize(
    "path, headers, options, expected",
    [
        (AJAX, {}, {"data": {"registered_model_name": "iris"}}, 415),
        (AJAX, {}, {"data": '{"registered_model_name": "iris"}', "content_type": "text/plain"}, 415),
        (REST, {}, {"data": '{"registered_model_name": "iris"}', "content_type": "text/plain"}, 415),
        (REST, {"Origin": "http://evil.example"}, {"data": {"registered_model_name": "iris"}}, 415),
        (REST, {"Origin": "null"}, {"data": '{"registered_model_name": "iris"}'}, 415),
        (REST, {"Sec-Fetch-Site": "same-site"}, {"data": {"registered_model_name": "iris"}}, 415),
        (REST, {"Sec-Fetch-Site": "cross-site"}, {"json": {"registered_model_name": "iris"}}, 403),
        (AJAX, {"Sec-Fetch-Site": "cross-site"}, {"json": {"registered_model_name": "iris"}}, 403),
    ],
)
def test_what_a_browser_can_be_made_to_send_changes_nothing(world, path, headers, options, expected):
    response = world.client.post(f"{path}/enable", headers=headers, **options)
    assert response.status_code == expected
    assert response.get_json()["message"]
    assert not enabled(world)


@pytest.mark.parametrize("route", ["update-compute-config", "update-cluster-config"])
def test_configuration_is_json_only(world, route):
    world.enable()
    assert world.client.put(f"{REST}/{route}", data={"registered_model_name": "iris"}).status_code == 415


def test_a_page_of_ours_may_change_serving(world):
    headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert (
        world.client.post(f"{AJAX}/enable", json={"registered_model_name": "iris"}, headers=headers).status_code == 200
    )


@pytest.mark.parametrize(
    "body", ["", "{", "[]", '"iris"', "null", "NaN", "\xff", "[" * 5000, '{"a": NaN}', '"\\ud800"']
)
def test_a_body_that_is_no_json_object_is_400(world, body):
    response = world.client.post(f"{REST}/enable", data=body.encode("latin-1"), content_type="application/json")
    assert response.status_code == 400
    assert response.get_json()["error_code"] in {"BAD_REQUEST", "INVALID_PARAMETER_VALUE"}


@pytest.mark.parametrize("name", [None, "", 7, ["iris"], {"a": 1}, "x" * 1001, "a\x00b", True])
def test_a_bad_model_name_is_400_and_named(world, name):
    response = world.client.post(f"{REST}/enable", json={"registered_model_name": name})
    assert response.status_code == 400
    assert "registered_model_name" in response.get_json()["message"]


def test_a_lone_surrogate_never_reaches_the_database(world):
    response = world.client.post(
        f"{REST}/enable", data=rb'{"registered_model_name": "\ud800"}', content_type="application/json"
    )
    assert response.status_code == 400


@pytest.mark.parametrize("number", ["", "0", "-1", "x", "1.5", "1\n", "\uff19", "1" * 30, "99999999999"])
def test_a_bad_version_is_400_and_named(world, call, number):
    world.enable()
    status, body = call("GET", "get-version-status", registered_model_name="iris", endpoint_version_name=number)
    assert status == 400
    assert "endpoint_version_name" in body["message"]


def test_spaces_and_unicode_in_names_work(world, call):
    assert call("POST", "enable", registered_model_name="große Modelle") == (200, {})
    assert call("GET", "get-status", registered_model_name="große Modelle")[0] == 200


@pytest.mark.parametrize(
    "method, path, expected",
    [
        ("GET", f"{REST}/enable", 405),
        ("POST", f"{REST}/get-status", 405),
        ("POST", f"{REST}/update-compute-config", 405),
        ("DELETE", f"{AJAX}/list", 405),
        ("POST", "/serving/health", 405),
        ("GET", f"{REST}/nonsense", 404),
        ("GET", REST, 404),
        ("GET", f"{REST}/get-input-example", 404),
    ],
)
def test_wrong_methods_and_unknown_paths_are_json(world, method, path, expected):
    response = world.client.open(path, method=method)
    assert response.status_code == expected
    assert response.get_json().keys() == {"error_code", "message"}
    assert ("Allow" in response.headers) is (expected == 405)


def test_a_huge_body_is_413(world):
    response = world.client.post(f"{REST}/enable", data=b" " * 3_000_000, content_type="application/json")
    assert (response.status_code, response.get_json()["error_code"]) == (413, "REQUEST_TOO_LARGE")


def test_an_unexpected_failure_is_500_with_a_log_line_and_no_internals(world, call, caplog, monkeypatch):
    def explode(*args):
        raise RuntimeError("postgresql://user:secret@db")

    monkeypatch.setattr(world.store, "find", explode)
    with caplog.at_level(logging.ERROR):
        status, body = call("GET", "get-status", registered_model_name="iris")
    assert (status, body["error_code"]) == (500, "INTERNAL_ERROR")
    assert "secret" not in body["message"]
    assert "get-status failed" in caplog.text
    assert "secret" in caplog.text


def test_replies_are_not_cached(world):
    assert world.client.get(f"{REST}/list").headers["Cache-Control"] == "no-store"


def test_the_given_protection_is_put_on_the_app(tmp_path):
    def secure(app):
        app.before_request(lambda: ("blocked", 403))

    world = ApiWorld(tmp_path / "state", secure=secure)
    try:
        assert world.client.get(f"{REST}/list").data == b"blocked"
    finally:
        world.close()


def test_no_rule_has_code_to_build_urls(world: ApiWorld) -> None:
    """Werkzeug's method of that name is private: with another name the server would start later, and nothing else."""
    with pytest.raises(NotImplementedError):
        next(world.app.url_map.iter_rules()).build({})
