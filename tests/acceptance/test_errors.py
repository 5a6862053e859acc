"""Every row of the scoring error table, on a real server whose limits are small enough to be hit."""

from __future__ import annotations

import json
import shutil
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support import eventually
from support.models import Models, move_stage, register
from support.server import TrackingServer

FLOWER = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
GOOD = {"dataframe_records": [FLOWER]}
RECORDS = "application/json; format=pandas-records"
LIMIT = 16 * 1024 * 1024
SECRET = "s3ntinel"
HOLD_S = 2.0
"""How long this server holds a request for a version that is starting."""

RUNTIMES = ["native", pytest.param("mlflow", marks=pytest.mark.matrix)]


def refused(response: requests.Response, status: int, code: str) -> str:
    """The message of an error that must have this status and code, and MLflow's shape."""
    assert response.status_code == status, response.text
    assert response.headers["Content-Type"] == "application/json"
    answer = response.json()
    assert answer.keys() == {"error_code", "message"}
    assert answer["error_code"] == code
    assert answer["message"].strip()
    assert "Traceback" not in response.text
    assert SECRET not in response.text
    assert response.headers["X-Request-Id"]
    return answer["message"]


@pytest.mark.parametrize(
    "path", ["no-such-model/1", "iris/99", "iris/Production", "iris@nobody", "iris/0", f"iris/{'9' * 5000}", "iris@"]
)
def test_what_is_not_served_is_404(strict: TrackingServer, path: str) -> None:
    message = refused(strict.score(path, GOOD), 404, "RESOURCE_DOES_NOT_EXIST")
    if path.startswith("iris/") and len(path) < 50:
        assert "Served now: versions 1" in message


@pytest.mark.parametrize("path", ["/model/", "/model/iris", "/model/iris/1", "/model/iris/1/predict", "/model//1/ping"])
def test_other_paths_below_model_are_404(strict: TrackingServer, path: str) -> None:
    refused(requests.post(strict.url + path, json=GOOD), 404, "RESOURCE_DOES_NOT_EXIST")


def test_another_method_is_405(strict: TrackingServer) -> None:
    response = requests.get(f"{strict.url}/model/iris/1/invocations")
    refused(response, 405, "METHOD_NOT_ALLOWED")
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", "application/json"),
        (b"{", "application/json"),
        (f'{{"dataframe_records": [{{"sepal_length": {SECRET}}}]}}'.encode(), "application/json"),
        (b'"' + SECRET.encode() + b'"', "application/json"),
        (b"[1, 2]", "application/json"),
        (b'{"a": 1}', RECORDS),
        (b"[]]", RECORDS),
        (b'{"columns": ["a"]}', "application/json; format=pandas-split"),
        (b'{"columns": ["a"], "data": [[1]]}', "application/json-numpy-split"),
        (b"\xff\xfe", "application/json"),
        (b"a,b\n\xff,1", "text/csv"),
        (b"no parquet", "application/vnd.apache.parquet"),
        (json.dumps({"dataframe_records": [{"sepal_length": SECRET}]}).encode(), "application/json"),
        (json.dumps({"dataframe_records": [FLOWER | {"petal_width": SECRET}]}).encode(), "application/json"),
        (json.dumps([FLOWER | {"petal_width": SECRET}]).encode(), RECORDS),
        (json.dumps({"instances": SECRET}).encode(), "application/json"),
        (json.dumps({"colour": SECRET}).encode(), "application/json"),
        (b"[" * 100_000, "application/json"),
        (b'{"inputs": ' + b"9" * 10_000 + b"}", "application/json"),
    ],
)
def test_a_body_that_is_wrong_is_400_and_is_not_repeated(
    strict: TrackingServer, body: bytes, content_type: str
) -> None:
    response = strict.score("iris/1", body, content_type)
    refused(response, 400, response.json().get("error_code"))
    legacy = "format=" in content_type or "numpy" in content_type
    assert response.json()["error_code"] in ({"BAD_REQUEST"} if legacy else {"BAD_REQUEST", "INVALID_PARAMETER_VALUE"})


@pytest.mark.parametrize(
    "content_type",
    [
        "application/xml",
        "application/json; charset=latin-1",
        "application/json; format=pandas",
        "application/json; a=b",
    ],
)
def test_another_content_type_is_415_in_plain_text(strict: TrackingServer, content_type: str) -> None:
    response = strict.score("iris/1", GOOD, content_type)
    assert response.status_code == 415
    assert response.headers["Content-Type"].startswith("text/plain")
    assert response.text.strip()


def test_no_content_type_and_an_unknown_encoding_are_415(strict: TrackingServer) -> None:
    url = f"{strict.url}/model/iris/1/invocations"
    assert requests.post(url, data=b"{}").status_code == 415
    headers = {"Content-Type": "application/json", "Content-Encoding": "br"}
    assert requests.post(url, data=b"{}", headers=headers).status_code == 415


def test_a_body_of_the_largest_size_is_scored_and_a_byte_more_is_413(strict: TrackingServer) -> None:
    document = json.dumps(GOOD).encode()
    assert strict.score("iris/1", document.ljust(LIMIT)).status_code == 200
    refused(strict.score("iris/1", document.ljust(LIMIT + 1)), 413, "REQUEST_TOO_LARGE")


def test_a_length_over_the_limit_is_413_before_the_body_is_sent(strict: TrackingServer) -> None:
    status, _ = exchange(strict, f"Content-Length: {10**12}", iter([b"{"]))
    assert status == 413


def test_a_body_over_the_limit_without_a_length_is_413_without_reading_the_rest(strict: TrackingServer) -> None:
    sent = 0

    def endless():
        nonlocal sent
        piece = b"x" * 65536
        while sent < 20 * LIMIT:
            sent += len(piece)
            yield b"10000\r\n" + piece + b"\r\n"

    status, _ = exchange(strict, "Transfer-Encoding: chunked", endless())
    assert status == 413
    assert sent < 4 * LIMIT
    assert strict.score("iris/1", GOOD).status_code == 200


def exchange(server: TrackingServer, header: str, pieces) -> tuple[int, bytes]:
    """Send a request's head, then pieces of a body until an answer comes: its status and all that came."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as connection:
        head = f"POST /model/iris/1/invocations HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n{header}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode())
        try:
            for piece in pieces:
                connection.settimeout(0.0)
                try:
                    if answer := connection.recv(4096):
                        return int(answer.split()[1]), answer
                except BlockingIOError:
                    connection.settimeout(30)
                    connection.sendall(piece)
        except (BrokenPipeError, ConnectionResetError):
            pass
        connection.settimeout(30)
        answer = connection.recv(4096)
        return int(answer.split()[1]), answer


@pytest.fixture(scope="module")
def shapes(strict: TrackingServer, models: Models) -> str:
    """A served model that can be made to raise."""
    register(strict.client, "shapes", models.path("shapes"))
    strict.enable("shapes")
    strict.wait_ready("shapes", 1)
    return "shapes"


def test_a_model_that_raises_is_400_with_its_own_words_and_its_traceback_in_the_log(
    strict: TrackingServer, shapes: str
) -> None:
    data = {"dataframe_records": [{"x": 1.0}], "params": {"shape": "raise"}}
    message = refused(strict.score(f"{shapes}/1", data), 400, "BAD_REQUEST")
    assert "the model has its own words" in message
    assert "File " not in message


@pytest.mark.parametrize("shape", ["nan", "text"])
def test_numbers_that_json_lacks_are_null(strict: TrackingServer, shapes: str, shape: str) -> None:
    data = {"dataframe_records": [{"x": 1.0}], "params": {"shape": shape}}
    expected = {"nan": [None, None, None, 1.5, "NaN"], "text": "NaN and Infinity are words"}[shape]
    assert strict.score(f"{shapes}/1", data).json() == {"predictions": expected}


@pytest.fixture(scope="module", params=RUNTIMES)
def slow(request: pytest.FixtureRequest, strict: TrackingServer, models: Models) -> str:
    """A served model that takes its time; a prediction may take one second."""
    name = f"slow-{request.param}"
    register(strict.client, name, models.path("slow"))
    strict.enable(name, request_timeout_s=1, runtime=request.param)
    strict.wait_ready(name, 1)
    return name


def test_a_prediction_that_ends_late_is_504_and_keeps_its_worker(strict: TrackingServer, slow: str) -> None:
    before = worker_pids(strict, slow)
    message = refused(strict.score(f"{slow}/1", {"inputs": {"seconds": [1.5]}}), 504, "DEADLINE_EXCEEDED")
    assert "1 s" in message
    eventually(
        lambda: strict.score(f"{slow}/1", {"inputs": {"seconds": [0.0]}}).status_code == 200,
        tail=strict.tail,
    )
    assert worker_pids(strict, slow) == before


def history(server: TrackingServer, name: str) -> dict:
    return server.api("GET", "get-event-history", registered_model_name=name)


def test_a_prediction_that_does_not_end_is_504_and_its_worker_is_replaced(strict: TrackingServer, slow: str) -> None:
    before = worker_pids(strict, slow)
    refused(strict.score(f"{slow}/1", {"inputs": {"seconds": [3600.0]}}), 504, "DEADLINE_EXCEEDED")
    eventually(
        lambda: worker_pids(strict, slow) and not worker_pids(strict, slow) & before, within_s=60, tail=strict.tail
    )
    strict.wait_ready(slow, 1)
    assert strict.score(f"{slow}/1", {"inputs": {"seconds": [0.0]}}).json() == {"predictions": [0.0]}
    eventually(lambda: "ran on long after its request timeout" in str(history(strict, slow)), tail=strict.tail)


def test_too_many_waiting_is_429_with_a_time_to_retry_after(strict: TrackingServer, slow: str) -> None:
    def score(_: int) -> requests.Response:
        return requests.post(f"{strict.url}/model/{slow}/1/invocations", json={"inputs": {"seconds": [0.6]}})

    with ThreadPoolExecutor(12) as pool:
        responses = list(pool.map(score, range(12)))
    statuses = [response.status_code for response in responses]
    # Whether the others are scored in time or not depends on how many the runtime scores at once.
    assert set(statuses) <= {200, 429, 504}
    assert statuses.count(429) >= 4, statuses
    for response in responses:
        if response.status_code == 429:
            refused(response, 429, "REQUEST_LIMIT_EXCEEDED")
            assert int(response.headers["Retry-After"]) >= 1
    eventually(
        lambda: strict.score(f"{slow}/1", {"inputs": {"seconds": [0.0]}}).status_code == 200,
        tail=strict.tail,
    )


def worker_pids(server: TrackingServer, name: str) -> set[int]:
    """The ready workers of version 1, from the routes."""
    version = server.entities(name).get("1", {"workers": []})
    return {worker["pid"] for worker in version["workers"] if worker["ready"]}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_model_that_does_not_load_fails_with_its_reason_and_leaves_the_others_alone(
    strict: TrackingServer, models: Models, runtime: str
) -> None:
    name = f"broken-{runtime}"
    register(strict.client, name, models.path("shapes"))
    register(strict.client, name, models.path("broken"))
    strict.enable(name, runtime=runtime)
    strict.wait_state(name, "FAILED", 2)
    strict.wait_ready(name, 1)
    started = time.monotonic()
    message = refused(strict.score(f"{name}/2", {"inputs": {"x": [1.0]}}), 503, "TEMPORARILY_UNAVAILABLE")
    assert time.monotonic() - started < HOLD_S, "held, though it cannot become ready"
    assert "the licence file is missing" in message
    assert strict.score(f"{name}/1", {"inputs": {"x": [1.0]}}).status_code == 200
    assert strict.score(f"{name}/latest", {"inputs": {"x": [1.0]}}).headers["X-MLflow-Model-Version"] == "1"
    assert requests.get(f"{strict.url}/model/{name}/2/ping").status_code == 503
    logs = strict.api("POST", "get-version-logs", registered_model_name=name, endpoint_version_name="2")["logs"]
    assert "the licence file is missing" in logs


def test_a_version_whose_files_are_gone_fails_with_its_reason(strict: TrackingServer, models: Models) -> None:
    register(strict.client, "gone", models.path("shapes"))
    register(strict.client, "gone", models.path("shapes"))
    run = strict.client.get_model_version("gone", "2").run_id
    (stored,) = strict.artifacts.glob(f"*/{run}/artifacts")
    shutil.rmtree(stored)
    strict.enable("gone")
    strict.wait_state("gone", "FAILED", 2)
    strict.wait_ready("gone", 1)
    message = refused(strict.score("gone/2", {"inputs": {"x": [1.0]}}), 503, "TEMPORARILY_UNAVAILABLE")
    assert message.endswith("The files are not where the version was registered from: register the model again.")
    assert strict.score("gone/1", {"inputs": {"x": [1.0]}}).status_code == 200


def test_a_starting_version_holds_requests_and_then_is_503_or_in_the_legacy_dialect_404(
    strict: TrackingServer, models: Models
) -> None:
    # The stock runtime, for it takes long enough to start.
    register(strict.client, "starting", models.path("iris-1"))
    strict.enable("starting", runtime="mlflow")
    eventually(lambda: strict.states("starting") == {"1": "LAUNCHING"}, tail=strict.tail)
    started = time.monotonic()
    modern = strict.score("starting/1", GOOD)
    assert HOLD_S <= time.monotonic() - started < HOLD_S + 10
    message = refused(modern, 503, "TEMPORARILY_UNAVAILABLE")
    assert int(modern.headers["Retry-After"]) >= 1
    assert "LAUNCHING" in message
    legacy = strict.score("starting/1", [FLOWER], RECORDS)
    refused(legacy, 404, "TEMPORARILY_UNAVAILABLE")
    assert legacy.headers["Retry-After"] == modern.headers["Retry-After"]
    assert requests.get(f"{strict.url}/model/starting/1/ping").status_code == 503
    strict.wait_ready("starting", 1)
    assert requests.get(f"{strict.url}/model/starting/1/ping").status_code == 200
    assert strict.score("starting/1", [FLOWER], RECORDS).json() == [0]


def test_an_archived_version_names_what_is_served(strict: TrackingServer, models: Models) -> None:
    register(strict.client, "archived", models.path("shapes"))
    register(strict.client, "archived", models.path("shapes"))
    move_stage(strict.client, "archived", 1, "Archived")
    strict.enable("archived")
    strict.wait_ready("archived", 2)
    message = refused(strict.score("archived/1", {"inputs": {"x": [1.0]}}), 404, "RESOURCE_DOES_NOT_EXIST")
    assert "Served now: versions 2" in message


def test_a_reply_tells_its_version_its_request_and_where_the_time_went(strict: TrackingServer) -> None:
    response = strict.score("iris/1", GOOD, **{"X-Request-Id": "mine-7"})
    assert response.headers["X-MLflow-Model-Version"] == "1"
    assert response.headers["X-Request-Id"] == "mine-7"
    parts = dict(part.strip().split(";dur=") for part in response.headers["Server-Timing"].split(","))
    assert {"auth", "queue", "decode", "predict", "encode"} <= parts.keys()
    assert all(0 <= float(value) < 60_000 for value in parts.values())


def test_the_schema_is_the_openapi_document_of_the_endpoint(strict: TrackingServer) -> None:
    document = requests.get(f"{strict.url}/model/iris/1/schema").json()
    assert document["openapi"].startswith("3.")
    assert "sepal_length" in json.dumps(document)
