"""Thousands of bodies and content types that nobody meant: never a 5xx, never a hang, never the server's end."""

from __future__ import annotations

import http.client
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.models import Models, register
from support.server import TrackingServer

EXAMPLES = 1000
LONGEST_S = 20.0
FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}

_FIELDS = ["dataframe_split", "dataframe_records", "instances", "inputs", "params", "columns", "data", "index"]
_names = st.sampled_from([*_FIELDS, *FLOWER, "messages", "prompt", "input", "predictions", ""]) | st.text(max_size=8)
_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.just(10**400)
    | st.sampled_from(["NaN", "Infinity", "1e999", "\ud800", "{}", "5.1"])
)
_documents = st.recursive(
    _scalars | st.just(FLOWER),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)
_whole = _documents | st.fixed_dictionaries({}, optional=dict.fromkeys(_FIELDS, _documents))
_jsons = _whole.map(lambda document: json.dumps(document).encode("utf-8", "surrogatepass"))
_valid = st.sampled_from(
    [
        json.dumps({"dataframe_records": [FLOWER]}).encode(),
        json.dumps({"dataframe_split": {"columns": list(FLOWER), "data": [list(FLOWER.values())]}}).encode(),
        json.dumps([FLOWER]).encode(),
        b"sepal_length,sepal_width,petal_length,petal_width\n5.1,3.5,1.4,0.2\n",
    ]
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A valid body with a piece cut out, put in twice, or replaced."""
    body = draw(_valid)
    start = draw(st.integers(0, len(body)))
    end = draw(st.integers(start, len(body)))
    return body[:start] + draw(st.binary(max_size=12) | st.just(body[start:end] * 2)) + body[end:]


_bodies = st.one_of(_jsons, _damaged(), st.binary(max_size=200), _jsons.map(lambda body: b"\xef\xbb\xbf" + body))
_printable = st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f")
_types = st.sampled_from(
    [
        "application/json",
        "application/json; charset=utf-8",
        "application/json; format=pandas-records",
        "application/json;format=pandas-split",
        "application/json-numpy-split",
        "text/csv",
        "application/vnd.apache.parquet",
    ]
)


def _mostly(usual: st.SearchStrategy, *others: st.SearchStrategy) -> st.SearchStrategy:
    """The usual three times out of four: most requests shall get as far as the model."""
    return st.sampled_from([usual] * 3 * len(others) + list(others)).flatmap(lambda strategy: strategy)


_content_types = _mostly(
    st.just("application/json") | _types,
    st.none() | st.sampled_from(["", "APPLICATION/JSON ;; charset", "multipart/form-data; boundary=x"]),
    st.text(_printable, max_size=40),
    st.builds(lambda mime, rest: f"{mime};{rest}", _types, st.text(_printable, max_size=20)),
)
_extra = _mostly(
    st.just({}),
    st.fixed_dictionaries(
        {},
        optional={
            "X-MLflow-Scoring-Dialect": st.sampled_from(["legacy", "modern", "neither", ""]),
            "X-Request-Id": st.text(_printable, max_size=300),
            "Content-Encoding": st.sampled_from(["identity", "gzip", ""]),
            "Authorization": st.text(_printable, max_size=30),
        },
    ),
)
_chunked = st.booleans()


def test_malformed_requests_get_an_answer_below_500(fuzzed: str, strict: TrackingServer) -> None:
    path = f"/model/{fuzzed}/1/invocations"
    connection = http.client.HTTPConnection("127.0.0.1", strict.port, timeout=LONGEST_S)
    seen: dict[int, int] = {}

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(_bodies, _content_types, _extra, _chunked)
    def send(body: bytes, content_type: str | None, extra: dict[str, str], chunked: bool) -> None:
        headers = {name: value.encode("latin-1") for name, value in extra.items()}
        if content_type is not None:
            headers["Content-Type"] = content_type.encode("latin-1")
        sent = iter([body[:7], body[7:]]) if chunked and len(body) > 7 else body
        try:
            connection.request("POST", path, sent, headers, encode_chunked=True)
            response = connection.getresponse()
            answer = response.read()
        except BaseException:
            connection.close()
            raise
        seen[response.status] = seen.get(response.status, 0) + 1
        assert response.status < 500, answer
        if response.status not in {200, 415} and response.headers.get("X-Request-Id"):
            json.loads(answer, parse_constant=_refuse)

    before = strict.workers(fuzzed)
    try:
        send()
    finally:
        connection.close()
    print(f"statuses: {seen}")
    assert seen.keys() >= {200, 400, 415}
    assert strict.workers(fuzzed) == before


@pytest.fixture(scope="module", params=["native", pytest.param("mlflow", marks=pytest.mark.matrix)])
def fuzzed(request: pytest.FixtureRequest, strict: TrackingServer, models: Models) -> str:
    """A model that is served under a runtime."""
    if request.param == "native":
        return "iris"
    register(strict.client, "iris-stock", models.path("iris-1"))
    strict.enable("iris-stock", runtime="mlflow")
    strict.wait_ready("iris-stock", 1)
    return "iris-stock"


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")
