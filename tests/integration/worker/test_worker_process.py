"""One worker, started directly: the protocol, deadlines, draining, its lease and its log."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support import eventually
from worker_processes import JSON, WorkerProcess, ask, code_model, value, worker_config

from mlflow_serving_plugin.links.frames_connection import FrameConnection
from mlflow_serving_plugin.worker import wire


class Raw:
    """A socket that says what the test wants."""

    def __init__(self, address, greet=True):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(20)
        self.socket.connect(address)
        self.decoder = wire.Decoder()
        self.frames = []
        if greet:
            self.socket.sendall(wire.encode_hello())
            wire.check_hello(self.next())

    def next(self):
        """The next frame, None at the end."""
        while not self.frames:
            try:
                data = self.socket.recv(1 << 18)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self.frames += self.decoder.feed(data)
        return self.frames.pop(0)

    def ask(self, frame_id, op, arg="", timeout_ms=20_000):
        self.socket.sendall(b"".join(wire.encode_request(frame_id, timeout_ms, JSON.encode(), ask(op, arg))))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.mark.parametrize(
    "said",
    [
        wire.encode(wire.HELLO, 0, struct.pack("!H", wire.VERSION + 1)),
        wire.encode(wire.HELLO, 0, struct.pack("!H", wire.VERSION) + b"a secret"),
        b"".join(wire.encode_request(1, 1000, b"application/json", b"{}")),
        wire.encode(wire.PING),
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        struct.pack("!IBI", 10_000_000, wire.HELLO, 0),
    ],
    ids=["version", "secret", "no hello", "ping", "HTTP", "oversized"],
)
def test_whoever_does_not_say_the_right_hello_is_cut_off_and_told_nothing(shared, said):
    shared.connect().close()
    with Raw(shared.address, greet=False) as raw:
        raw.socket.sendall(said)
        assert raw.next() is None
    shared.connect().close()


@pytest.mark.parametrize(
    "said",
    [
        struct.pack("!IBI", wire.MAX_FRAME_BYTES + 1, wire.REQUEST, 1),
        wire.encode(wire.REQUEST, 1, b"\0\0"),
        wire.encode(wire.REQUEST, 1, struct.pack("!IH", 1000, 500)),
        b"\xff" * 100,
    ],
    ids=["oversized", "short", "cut", "garbage"],
)
def test_a_gateway_that_breaks_the_protocol_is_cut_off_and_others_go_on(shared, said):
    other = shared.connect()
    with Raw(shared.address) as raw:
        raw.socket.sendall(said)
        assert raw.next() is None
    assert value(other.call(JSON, ask("echo", "still here"), 10)) == "still here"
    other.close()


def test_a_ping_is_answered_with_its_id(shared):
    shared.connect().close()
    with Raw(shared.address) as raw:
        raw.socket.sendall(wire.encode(wire.PING, 7))
        assert raw.next() == wire.Frame(wire.PONG, 7, b"")


def test_frames_nobody_expects_are_ignored(shared):
    shared.connect().close()
    with Raw(shared.address) as raw:
        for kind in (wire.HELLO, wire.RESPONSE, wire.PONG, wire.GOODBYE, wire.CANCEL, wire.DROPPED):
            raw.socket.sendall(wire.encode(kind, 99, b"x"))
        raw.ask(1, "echo", "x")
        assert raw.next().id == 1


def test_answers_come_as_they_are_ready_and_each_has_its_id(shared, tmp_path):
    shared.connect().close()
    with Raw(shared.address) as raw:
        raw.ask(1, "wait", str(tmp_path / "go"))
        raw.ask(2, "echo", "first")
        assert raw.next().id == 2
        (tmp_path / "go").touch()
        assert raw.next().id == 1


def test_five_requests_to_a_custom_model_run_at_the_same_time(shared):
    shared.connect().close()
    with Raw(shared.address) as raw:
        for number in range(5):
            raw.ask(number, "meet", "15")
        assert sorted(raw.next().id for _ in range(5)) == [0, 1, 2, 3, 4]


def test_a_request_whose_time_is_up_before_its_turn_is_not_scored(shared, tmp_path):
    shared.connect().close()
    with Raw(shared.address) as raw:
        raw.ask(1, "touch", str(tmp_path / "scored"), timeout_ms=0)
        assert raw.next() == wire.Frame(wire.DROPPED, 1, b"")
        raw.ask(2, "echo", "x")
        assert raw.next().id == 2
    assert not (tmp_path / "scored").exists()


def fill_threads(raw, go):
    threads = min(32, (os.cpu_count() or 1) + 4)
    for number in range(threads):
        raw.ask(1000 + number, "wait", str(go))
    return threads


def test_a_cancelled_request_is_not_scored(shared, tmp_path):
    shared.connect().close()
    with Raw(shared.address) as raw:
        threads = fill_threads(raw, tmp_path / "go")
        raw.ask(1, "touch", str(tmp_path / "scored"))
        raw.socket.sendall(wire.encode(wire.CANCEL, 1))
        raw.socket.sendall(wire.encode(wire.PING, 5))
        assert raw.next().kind == wire.PONG
        (tmp_path / "go").touch()
        kinds = {frame.id: frame.kind for frame in (raw.next() for _ in range(threads + 1))}
        assert kinds.pop(1) == wire.DROPPED
        assert set(kinds.values()) == {wire.RESPONSE}
    assert not (tmp_path / "scored").exists()


def test_a_gateway_that_leaves_takes_its_waiting_requests_along(shared, tmp_path):
    other = shared.connect()
    with Raw(shared.address) as raw:
        fill_threads(raw, tmp_path / "go")
        raw.ask(1, "touch", str(tmp_path / "scored"))
        raw.socket.sendall(wire.encode(wire.PING, 5))
        assert raw.next().kind == wire.PONG
    other.ping(5)
    (tmp_path / "go").touch()
    assert value(other.call(JSON, ask("echo", "x"), 10)) == "x"
    assert not (tmp_path / "scored").exists()
    other.close()


def test_ten_thousand_requests_in_flight_are_all_answered(short, models):
    worker = WorkerProcess(worker_config(short, models.path("iris")))
    try:
        worker.connect().close()
        with Raw(worker.address) as raw:
            columns = ["sepal_length", "sepal_width", "petal_length", "petal_width"]
            setosa, virginica = [[5.1, 3.5, 1.4, 0.2]], [[6.9, 3.1, 5.4, 2.1]]
            bodies = [
                json.dumps({"dataframe_split": {"columns": columns, "data": data}}).encode()
                for data in (setosa, virginica)
            ]
            requests = b"".join(
                b"".join(wire.encode_request(number, 120_000, JSON.encode(), bodies[number % 2]))
                for number in range(10_000)
            )
            sender = threading.Thread(target=raw.socket.sendall, args=(requests,))
            sender.start()
            seen = {}
            while len(seen) < 10_000:
                frame = raw.next()
                seen[frame.id] = json.loads(wire.decode_response(frame).body)["predictions"]
            sender.join()
        assert seen == {number: [2 * (number % 2)] for number in range(10_000)}
    finally:
        worker.end()


def test_sixteen_megabytes_go_and_come_back(shared):
    connection = shared.connect()
    text = "x" * (16 * 1024 * 1024 - 200)
    assert value(connection.call(JSON, ask("echo", text), 30)) == text
    connection.close()


def test_sigterm_lets_requests_finish_says_goodbye_and_ends(start, tmp_path):
    worker = start()
    worker.connect().close()
    with Raw(worker.address) as raw:
        raw.ask(1, "wait", str(tmp_path / "go"))
        raw.socket.sendall(wire.encode(wire.PING, 2))
        assert raw.next().kind == wire.PONG
        worker.terminate()
        assert raw.next().kind == wire.GOODBYE
        # This one was on its way when the worker said goodbye.
        raw.ask(3, "echo", "late")
        assert wire.decode_response(raw.next()).status == 200
        with pytest.raises(ConnectionRefusedError):
            FrameConnection(worker.address, 1)
        (tmp_path / "go").touch()
        frame = raw.next()
        assert (frame.kind, frame.id) == (wire.RESPONSE, 1)
        raw.ask(4, "echo", "later")
        assert raw.next().id == 4
        assert raw.next() is None
    assert worker.process.wait(10) == 0
    assert not Path(worker.address).exists()


def test_an_overdue_prediction_costs_its_worker_and_no_other_request(start, tmp_path):
    """The worker takes no more requests, hands back those that wait, finishes those that run, and ends."""
    worker = start(overdue_grace_s=0.2)
    worker.connect().close()
    threads = min(32, (os.cpu_count() or 1) + 4)
    with Raw(worker.address) as raw:
        for number in range(threads - 1):
            raw.ask(number, "wait", str(tmp_path / f"go-{number}"))
        eventually(lambda: len(list(tmp_path.glob("*.begun"))) == threads - 1)
        # The time allowed lets a busy machine begin the prediction.
        raw.ask(100, "sleep", "600", timeout_ms=2000)
        raw.ask(200, "touch", str(tmp_path / "scored"))
        frames = [raw.next(), raw.next()]
        assert {(frame.kind, frame.id) for frame in frames} == {(wire.GOODBYE, 0), (wire.DROPPED, 200)}
        raw.ask(201, "touch", str(tmp_path / "scored"))
        assert raw.next() == wire.Frame(wire.DROPPED, 201, b"")
        assert json.loads(Path(str(worker.config["status_file"])).read_text())["draining"] is True
        with pytest.raises(ConnectionRefusedError):
            FrameConnection(worker.address, 1)
        for number in range(threads - 1):
            (tmp_path / f"go-{number}").touch()
        answered = [raw.next() for _ in range(threads - 1)]
        assert {(frame.kind, frame.id) for frame in answered} == {(wire.RESPONSE, n) for n in range(threads - 1)}
        assert raw.next() is None
    assert worker.process.wait(30) == 1
    assert "Ending: a prediction ran on long after its request timeout." in worker.log()
    assert not (tmp_path / "scored").exists()


def test_a_prediction_that_another_one_left_no_memory_is_computed_once_more(shared, tmp_path):
    shared.connect().close()
    with Raw(shared.address) as raw:
        raw.ask(1, "need memory", str(tmp_path / "tried"))
        assert wire.decode_response(raw.next()).status == 200


def test_neighbours_of_an_overdue_prediction_that_do_not_end_either_hold_nothing_up(start):
    worker = start(overdue_grace_s=0.2)
    worker.connect().close()
    with Raw(worker.address) as raw:
        raw.ask(1, "sleep", "600", timeout_ms=2000)
        raw.ask(2, "sleep", "600", timeout_ms=4000)
        assert raw.next().kind == wire.GOODBYE
        assert raw.next() is None
    assert worker.process.wait(30) == 1


@pytest.mark.parametrize("closes", ["sys.stderr.close(); sys.stdout.close()", "sys.stderr = sys.stdout = None"])
def test_a_model_that_closes_its_output_still_gets_its_errors_answered_and_ends(start, closes):
    worker = start()
    with closing(worker.connect()) as connection:
        assert value(connection.call(JSON, ask("run", f"import sys; {closes}; answer = 'closed'"), 20.0)) == "closed"
        for _ in range(2):
            assert connection.call(JSON, ask("raise", "unlucky"), 20.0).status == 400
            assert value(connection.call(JSON, ask("echo", "fine"), 20.0)) == "fine"
    worker.terminate()
    assert worker.process.wait(30) == 0


def test_a_worker_without_a_controller_ends_after_its_grace(start):
    worker = start(orphan_grace_s=1.0)
    worker.connect().close()
    assert worker.process.wait(10) == 0
    assert "No controller for 1.0 s" in worker.log()


def test_a_worker_that_hangs_ends_without_a_controller_all_the_same(start):
    worker = start(orphan_grace_s=1.0, stop_grace_s=0.5)
    connection = worker.connect()
    connection._socket.sendall(b"".join(wire.encode_request(1, 60_000, JSON.encode(), ask("sleep", "600"))))
    assert worker.process.wait(10) == 0


def test_a_worker_that_no_controller_has_on_record_ends(start, short):
    record = short / "w1.json"
    record.touch()
    worker = start(record=str(record))
    worker.connect().close()
    record.unlink()
    assert worker.process.wait(20) == 0
    assert "No controller has a record of this worker" in worker.log()


def test_the_log_is_rotated_while_the_model_prints(start, short):
    worker = start(log_max_bytes=2000)
    connection = worker.connect()
    rotated = short / "logs" / "w1.log.1"

    def printed():
        connection.call(JSON, ask("print", "y" * 1500), 10)
        return rotated.exists()

    eventually(printed)
    connection.call(JSON, ask("print", "the last line"), 10)
    assert "the last line" in worker.log()
    connection.close()


def test_a_worker_says_what_its_model_raised_on_loading(start, tmp_path):
    worker = start(code_model(tmp_path / "broken", "raise RuntimeError('no licence')"))
    assert worker.process.wait(60) != 0
    eventually(lambda: "no licence" in worker.log(), 5, worker.log)


def test_a_worker_says_once_it_has_answered_a_number_of_requests(start):
    worker = start()
    status = Path(str(worker.config["status_file"]))
    connection = worker.connect()
    for number in range(10):
        assert json.loads(status.read_text())["proved"] is False, number
        assert connection.call(JSON, ask("raise"), 20).status != 200
        value(connection.call(JSON, ask("echo"), 20))
    # The file is written in place: it may be read half written.
    eventually(lambda: (text := status.read_text()).endswith("}") and json.loads(text)["proved"])


def test_a_worker_that_ends_leaves_no_file(start):
    worker = start()
    worker.connect().close()
    worker.terminate()
    worker.process.wait(20)
    assert not Path(worker.address).exists()
    assert not Path(str(worker.config["status_file"])).exists()
