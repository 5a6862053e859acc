"""A real worker streams the events of a model: order, credit, errors, clients that leave, other requests beside."""

from __future__ import annotations

import json
import time

import pytest
from support import eventually

from mlflow_serving_plugin.gateway.dialects.failures import explain
from mlflow_serving_plugin.links.frames_connection import DroppedError
from mlflow_serving_plugin.worker import wire
from mlflow_serving_plugin.worker.model_stream import SEVERAL_ROWS
from mlflow_serving_plugin.worker.wire_streams import WINDOW_BYTES, decode_end, encode_credit

JSON = "application/json"


@pytest.fixture(scope="module")
def model(models):
    return models.path("streaming")


@pytest.fixture(scope="module")
def worker(model, model_worker):
    """Streams in threads."""
    yield from model_worker(model)


@pytest.fixture(scope="module")
def single(model, model_worker):
    """Computes one prediction at a time, in the thread of its event loop."""
    yield from model_worker(model, max_concurrency=1)


either = pytest.mark.parametrize("kind", ["worker", "single"])


class Streaming:
    """One stream on a connection; events are what the worker has sent."""

    def __init__(self, connection, credit=WINDOW_BYTES, timeout_s=30.0, **asked) -> None:
        self.connection = connection
        body = json.dumps({"prompt": "word", "stream": True, **asked}).encode()
        self.id = connection.send(JSON, body, timeout_s, wire.STREAM)
        if credit:
            connection.write(encode_credit(self.id, credit))

    def frame(self, within_s=30.0):
        return self.connection.receive(self.id, time.monotonic() + within_s)

    def all(self):
        """The events, and the last frame."""
        events = []
        while (frame := self.frame()).kind == wire.PART:
            events.append(json.loads(frame.payload))
        return events, frame


def test_events_come_one_by_one_and_their_text_is_the_unstreamed_answer(worker):
    connection = worker.connect()
    events, last = Streaming(connection, number=4).all()
    assert [event["n"] for event in events] == [0, 1, 2, 3]
    assert (last.kind, decode_end(last)) == (wire.END, (200, b""))
    whole = connection.call(JSON, b'{"prompt": "word", "number": 4}', 30)
    assert json.loads(whole.body) == [event["text"] for event in events]


@either
def test_a_model_without_credit_waits_and_other_requests_go_on(request, kind, short):
    connection = request.getfixturevalue(kind).connect()
    stream = Streaming(connection, credit=1, number=10_000, begun=str(short / "begun"))
    assert json.loads(stream.frame().payload)["n"] == 0
    if kind == "worker":
        for _ in range(20):
            assert connection.call(JSON, b'{"prompt": "b", "number": 1}', 30).status == 200
    assert not (short / "begun").exists()
    connection.write(encode_credit(stream.id, 100))
    frames = [stream.frame() for _ in range(2)]
    assert [json.loads(frame.payload)["n"] for frame in frames] == [1, 2]
    connection.ping(30)
    connection.close()


@either
def test_a_cancelled_stream_ends_the_models_generator(request, kind, short):
    connection = request.getfixturevalue(kind).connect()
    over = short / "over"
    stream = Streaming(connection, credit=1, number=10_000, over=str(over))
    stream.frame()
    connection.write(wire.encode(wire.CANCEL, stream.id))
    assert decode_end(stream.frame()) == (200, b"")
    assert over.exists()
    assert connection.call(JSON, b'{"prompt": "b", "number": 1}', 30).status == 200


def test_a_gateway_that_goes_away_ends_its_streams(worker, short):
    over = short / "over"
    connection = worker.connect()
    Streaming(connection, number=10**9, pause_s=0.001, over=str(over)).frame()
    connection.close()
    eventually(over.exists)


def test_a_stream_at_a_time_keeps_everything_else_waiting_in_a_worker_of_one_thread(single, short):
    one, other = single.connect(), single.connect()
    release = short / "release"
    stream = Streaming(one, number=2, at=1, do="wait", **{"for": str(release)})
    stream.frame()
    second = Streaming(other, number=1)
    release.touch()
    assert [event["n"] for event in stream.all()[0]] == [1]
    assert [event["n"] for event in second.all()[0]] == [0]


@pytest.mark.parametrize(
    ("do", "status", "said"),
    [
        ("raise", 400, "no more words"),
        ("exit", 500, "The model called sys.exit() instead of returning a prediction."),
        ("object", 500, "The prediction cannot be sent: the model returned an object, which has no JSON form."),
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_an_error_is_a_plain_answer_before_the_first_event_and_the_end_after_it(worker, do, status, said, at):
    connection = worker.connect()
    events, last = Streaming(connection, at=at, do=do).all()
    assert len(events) == at
    if at:
        answered, body = decode_end(last)
    else:
        response = wire.decode_response(last)
        answered, body = response.status, response.body
    assert answered == status
    assert said in body.decode()
    assert connection.call(JSON, b'{"prompt": "b", "number": 1}', 30).status == 200


def test_an_error_between_events_stands_in_the_log_with_its_traceback(worker):
    Streaming(worker.connect(), at=1, do="raise").all()
    eventually(lambda: "ValueError: no more words" in worker.log() and "in _do" in worker.log())


def test_a_stream_without_events_just_ends(worker):
    events, last = Streaming(worker.connect(), number=0).all()
    assert (events, last.kind) == ([], wire.END)


def test_nan_becomes_null_and_the_field_stream_does_not_reach_the_model(worker):
    connection = worker.connect()
    assert Streaming(connection, number=0 + 1, at=0, do="nan").all()[0][0] == {"n": None}
    assert "stream" not in Streaming(connection, number=1, at=0, do="keys").all()[0][0]


def test_several_rows_are_refused_without_a_word_of_them(worker):
    connection = worker.connect()
    body = b'{"dataframe_records": [{"prompt": "secret"}, {"prompt": "b"}], "stream": true}'
    frame_id = connection.send(JSON, body, 30, wire.STREAM)
    connection.write(encode_credit(frame_id, WINDOW_BYTES))
    response = wire.decode_response(connection.receive(frame_id, time.monotonic() + 30))
    failure = explain(response.status, response.body, debug=False)
    assert failure.status == 400
    assert SEVERAL_ROWS in failure.message
    assert "secret" not in failure.message


def test_a_model_that_cannot_stream_says_so(shared):
    response = wire.decode_response(Streaming(shared.connect()).frame())
    assert response.status == 400
    assert "This model cannot stream its answer" in response.body.decode()


def test_draining_waits_for_streams_and_drops_what_comes_to_its_turn_too_late(start, model, short):
    started = start(model, max_streams=1)
    one, other = started.connect(), started.connect()
    release = short / "release"
    stream = Streaming(one, number=2, at=1, do="wait", **{"for": str(release)})
    stream.frame()
    late = Streaming(other, timeout_s=0.01)
    other.ping(30)
    too_late = time.monotonic() + 0.02
    eventually(lambda: time.monotonic() > too_late)
    started.terminate()
    eventually(lambda: not one.alive())
    release.touch()
    events, last = stream.all()
    assert ([event["n"] for event in events], last.kind) == ([1], wire.END)
    with pytest.raises(DroppedError):
        late.frame()
    started.process.wait(30)


def test_two_hundred_slow_streams_run_at_once(worker, short):
    release = short / "release"
    streams = [Streaming(worker.connect(), number=2, at=1, do="wait", **{"for": str(release)}) for _ in range(200)]
    for stream in streams:
        assert json.loads(stream.frame().payload)["n"] == 0
    release.touch()
    assert all([event["n"] for event in stream.all()[0]] == [1] for stream in streams)
