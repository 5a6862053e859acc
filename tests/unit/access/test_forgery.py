"""Which requests a page of another site may have made."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.access.forgery import BrowserRules, refuse_forged
from mlflow_serving_plugin.domain.workspace import workspace_of
from mlflow_serving_plugin.errors import InvalidParameterError, PermissionDeniedError

HOST = "mlflow.example:5000"


def rules(bearer_exempt=True):
    return BrowserRules(
        allowed_host=lambda host: host in {HOST, "localhost:5000"},
        allowed_origin=lambda origin: origin == "https://app.example",
        bearer_exempt=bearer_exempt,
    )


def refused(method="POST", exempt=True, **headers):
    sent = {"host": HOST, **{name.replace("_", "-"): value for name, value in headers.items()}}
    try:
        refuse_forged(rules(exempt), method, sent)
    except PermissionDeniedError:
        return True
    return False


def test_programs_are_let_through():
    assert not refused()
    assert not refused(authorization="Basic eA==")


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://mlflow.example", f"http://evil.{HOST}"])
def test_a_page_of_another_origin_is_refused(origin):
    assert refused(origin=origin)
    assert refused(origin=origin, authorization="Basic eA==", sec_fetch_site="same-site")
    assert refused(origin=origin, cookie="session=1")


def test_the_server_s_own_pages_are_let_through():
    assert not refused(origin=f"http://{HOST}", sec_fetch_site="same-origin")


def test_the_server_s_own_pages_are_let_through_behind_a_proxy_that_names_another_host():
    assert not refused(origin="https://mlflow.company.example", sec_fetch_site="same-origin")


def test_a_page_of_another_site_without_an_origin_is_refused():
    assert refused(sec_fetch_site="cross-site")


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1:3000", "http://mlflow.example:3000"])
def test_a_page_of_another_port_is_refused_even_of_this_machine(origin):
    assert refused(origin=origin)
    assert refused(origin=origin, host="localhost:5000", sec_fetch_site="same-site")


def test_an_allowed_origin_is_let_through():
    assert not refused(origin="https://app.example", sec_fetch_site="cross-site")


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_host_name_that_is_not_the_server_s_is_refused(method):
    assert refused(method, host="rebound.example:5000")
    assert refused(method, host="")


def test_a_get_is_let_through_from_anywhere():
    assert not refused("GET", origin="https://evil.example", sec_fetch_site="cross-site")


def test_a_bearer_token_needs_no_look_where_it_is_looked_at():
    forged = {"origin": "https://evil.example", "authorization": "Bearer x", "host": "rebound.example"}
    assert not refused(**forged)
    assert refused(exempt=False, **forged)


def test_a_workspace_is_the_header_s_or_the_default_one():
    assert workspace_of({}, enabled=False) == workspace_of({"x-mlflow-workspace": " "}, enabled=True) == "default"
    assert workspace_of({"x-mlflow-workspace": " team-1 "}, enabled=True) == "team-1"


@pytest.mark.parametrize(
    ("name", "enabled"), [("team", False), ("a/b", True), ("Team", True), ("-a", True), ("a" * 64, True)]
)
def test_a_workspace_that_cannot_be_is_refused(name, enabled):
    with pytest.raises(InvalidParameterError):
        workspace_of({"x-mlflow-workspace": name}, enabled=enabled)
