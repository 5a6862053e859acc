"""Which pages of other origins may read answers, and what a browser is told before it sends a request."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.access.cors import cors_headers
from mlflow_serving_plugin.access.forgery import BrowserRules

APP = "http://app.example:3000"
ASKS = {"access-control-request-method": "POST", "access-control-request-headers": "content-type,authorization"}


def rules(any_origin=False):
    return BrowserRules(
        allowed_host=lambda _: True,
        allowed_origin=lambda origin: any_origin or origin == APP,
        bearer_exempt=False,
        any_origin=any_origin,
    )


def headers(method="POST", any_origin=False, **sent):
    return dict(cors_headers(rules(any_origin), method, sent))


def test_an_allowed_page_may_read_answers_and_our_headers():
    found = headers(origin=APP)
    assert found["Access-Control-Allow-Origin"] == APP
    assert found["Access-Control-Allow-Credentials"] == "true"
    assert {"X-Request-Id", "Retry-After"} <= set(found["Access-Control-Expose-Headers"].split(", "))
    assert found["Vary"] == "Origin"


@pytest.mark.parametrize("origin", ["http://app.example", "https://app.example:3000", f"{APP}.evil.example", "null"])
def test_a_page_that_is_not_allowed_may_read_nothing(origin):
    assert headers(origin=origin) == {"Vary": "Origin"}
    assert headers("OPTIONS", origin=origin, **ASKS) == {"Vary": "Origin"}


def test_programs_get_no_such_headers():
    assert headers() == {}
    assert cors_headers(None, "POST", {"origin": APP}) == []


def test_a_preflight_allows_our_methods_and_the_headers_that_the_page_names():
    found = headers("OPTIONS", origin=APP, **ASKS)
    assert found["Access-Control-Allow-Methods"] == "GET, HEAD, POST, PUT"
    assert found["Access-Control-Allow-Headers"] == "content-type,authorization"
    assert "Access-Control-Expose-Headers" not in found


def test_when_every_page_is_allowed_none_is_allowed_with_the_visitor_s_password():
    found = headers(any_origin=True, origin=APP)
    assert found["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in found
