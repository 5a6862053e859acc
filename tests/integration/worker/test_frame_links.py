"""Both links of the frames protocol, against a real worker and against rude servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import struct
import threading
import time

import pytest
from support import eventually
from support.routes import an_entity, routes_of
from worker_processes import JSON, WorkerProcess, ask, worker_config

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.errors import DeadlineError
from mlflow_serving_plugin.host.messages import Overdue
from mlflow_serving_plugin.links.base import LinkContext, LostError, WorkerCall
from mlflow_serving_plugin.links.frames_async import AsyncFrameLink
from mlflow_serving_plugin.links.frames_blocking import BlockingFrameLink
from mlflow_serving_plugin.worker import wire

GRACE_S = 0.3
OVERDUE = Overdue("w1")


class Snapshot:
    """A routes snapshot with one worker."""

    def __init__(self, address, secret=""):
        self.route = WorkerRoute("w1", "frames", str(address), 1, 0, True, secret)
        self.routes = routes_of(an_entity(workers=(self.route,)))

    def current(self):
        return self.routes


class OnALoop:
    """The async link behind a blocking face: its event loop runs in a thread."""

    def __init__(self, context):
        self.complaints = []
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.complaints.append(context))
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.link = AsyncFrameLink(context)

    def start(self, call):
        return asyncio.run_coroutine_threadsafe(self.link.call(call), self.loop)

    def call(self, call):
        return self.start(call).result(30)

    def close(self):
        async def close():
            await self.link.close()
            await asyncio.sleep(0)

        asyncio.run_coroutine_threadsafe(close(), self.loop).result(10)
        eventually(lambda: not self.link._all and not self.link._opening)
        tasks = asyncio.all_tasks(self.loop)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()
        assert not tasks
        assert not self.complaints


@pytest.fixture
def nudges():
    return []


@pytest.fixture
def context(short, nudges):
    return LinkContext(Snapshot(short / "w1.sock"), nudges.append, GRACE_S)


@pytest.fixture
def async_link(context):
    link = OnALoop(context)
    yield link
    link.close()


@pytest.fixture(params=[OnALoop, BlockingFrameLink])
def link(request, context):
    link = request.param(context)
    yield link
    link.close()


@pytest.fixture
def call(context):
    def call(body=b"{}", timeout_s=20.0):
        return WorkerCall(context.snapshot.route, JSON, body, timeout_s, "default", "m")

    return call


def predictions(reply):
    assert reply.status == 200, reply
    return json.loads(reply.body)["predictions"]


class Rude:
    """A server that does with each connection what it is told to."""

    def __init__(self, address, behave):
        self._behave = behave
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        self._listener.listen(16)
        self.connections = []
        self.seen = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        with contextlib.suppress(OSError):
            self._behave(self, connection)

    def frames(self, connection):
        """What the link says after its hello, one by one."""
        decoder = wire.Decoder()
        while data := connection.recv(65536):
            for frame in decoder.feed(data):
                if frame.kind != wire.HELLO:
                    self.seen.append(frame)
                    yield frame

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self.connections:
            connection.close()


@pytest.fixture
def rude(short):
    servers = []

    def rude(behave):
        servers.append(Rude(short / "w1.sock", behave))
        return servers[-1]

    yield rude
    for server in servers:
        server.close()


def greeting(connection):
    connection.sendall(wire.encode_hello())


def hang_up_at_once(server, connection):
    connection.close()


def wrong_version(server, connection):
    connection.sendall(wire.encode(wire.HELLO, 0, struct.pack("!H", wire.VERSION + 1)))
    next(server.frames(connection), None)


def http(server, connection):
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    next(server.frames(connection), None)


def goodbye_instead_of_hello(server, connection):
    connection.sendall(wire.encode(wire.GOODBYE))
    next(server.frames(connection), None)


def close_after_request(server, connection):
    greeting(connection)
    next(server.frames(connection))
    connection.close()


def close_in_the_middle_of_the_answer(server, connection):
    greeting(connection)
    frame = next(server.frames(connection))
    connection.sendall(b"".join(wire.encode_response(frame.id, 200, (0, 0, 0), b"application/json", b"x" * 1000))[:500])
    connection.close()


def answer_cut_short(server, connection):
    greeting(connection)
    frame = next(server.frames(connection))
    connection.sendall(wire.encode(wire.RESPONSE, frame.id, b"\0\0"))
    next(server.frames(connection), None)


def answer_too_large(server, connection):
    greeting(connection)
    frame = next(server.frames(connection))
    connection.sendall(struct.pack("!IBI", wire.MAX_FRAME_BYTES + 1, wire.RESPONSE, frame.id))
    next(server.frames(connection), None)


def never_answer(server, connection):
    greeting(connection)
    for _ in server.frames(connection):
        pass


def never_even_greet(server, connection):
    for _ in server.frames(connection):
        pass


def drop(server, connection):
    greeting(connection)
    for frame in server.frames(connection):
        if frame.kind == wire.REQUEST:
            connection.sendall(wire.encode(wire.DROPPED, frame.id))


def answer_others_first(server, connection):
    greeting(connection)
    for frame in server.frames(connection):
        if frame.kind == wire.REQUEST:
            for frame_id in (frame.id + 5, frame.id - 1, 2**32 - 1, frame.id, frame.id):
                connection.sendall(
                    b"".join(wire.encode_response(frame_id, 200, (2, 3, 4), b"text/x", b"%d" % frame_id))
                )


@pytest.mark.parametrize("behave", [hang_up_at_once, wrong_version, http, goodbye_instead_of_hello])
def test_a_server_that_never_was_a_worker_is_a_loss_before_sending(rude, link, call, behave, nudges):
    rude(behave)
    with pytest.raises(LostError) as caught:
        link.call(call())
    assert not caught.value.sent
    assert not nudges


def test_no_socket_and_nobody_behind_it_are_losses_before_sending(link, call, short):
    with pytest.raises(LostError) as caught:
        link.call(call())
    assert not caught.value.sent
    socket.socket(socket.AF_UNIX).bind(str(short / "w1.sock"))
    with pytest.raises(LostError) as caught:
        link.call(call())
    assert not caught.value.sent


@pytest.mark.parametrize(
    "behave", [close_after_request, close_in_the_middle_of_the_answer, answer_cut_short, answer_too_large]
)
def test_a_worker_that_breaks_off_after_the_request_is_a_loss_after_sending(rude, link, call, behave):
    rude(behave)
    for _ in range(2):
        with pytest.raises(LostError) as caught:
            link.call(call())
        assert caught.value.sent


def test_answers_to_unknown_ids_are_ignored(rude, link, call):
    rude(answer_others_first)
    for _ in range(3):
        reply = link.call(call())
        assert reply.times_us == (2, 3, 4)


@pytest.mark.parametrize("behave", [never_answer, never_even_greet])
def test_a_worker_that_never_answers_is_reported_after_the_grace(rude, link, call, nudges, behave):
    server = rude(behave)
    started = time.monotonic()
    with pytest.raises(DeadlineError):
        link.call(call(timeout_s=0.2))
    assert time.monotonic() - started >= 0.2
    assert not nudges
    eventually(lambda: nudges == [OVERDUE])
    assert time.monotonic() - started >= 0.2 + GRACE_S
    eventually(lambda: wire.CANCEL in [frame.kind for frame in server.seen])


def test_a_request_that_a_draining_worker_hands_back_in_time_is_for_another_worker(rude, link, call, nudges):
    rude(drop)
    with pytest.raises(LostError) as caught:
        link.call(call(timeout_s=30))
    assert not caught.value.sent
    assert len(nudges) == 0


def close_at_a_ping(server, connection):
    greeting(connection)
    for frame in server.frames(connection):
        if frame.kind == wire.PING:
            connection.close()


def test_a_retry_is_sent_only_after_a_sign_of_life(rude, link, call):
    server = rude(close_at_a_ping)
    with pytest.raises(LostError) as caught:
        link.call(call()._replace(careful=True))
    assert not caught.value.sent
    assert wire.REQUEST not in [frame.kind for frame in server.seen]


def test_a_retry_to_a_worker_that_lives_is_answered(kept, link, call):
    assert predictions(link.call(call(ask("echo", "x"))._replace(careful=True))) == ["x"]


def test_of_requests_lost_together_the_newest_is_told_first(rude, async_link, call):
    server = rude(never_answer)
    told = []
    futures = [async_link.start(call(timeout_s=30)) for _ in range(20)]
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: told.append(number))
    eventually(lambda: len(server.seen) == 20)
    server.connections[0].shutdown(socket.SHUT_RDWR)
    eventually(lambda: len(told) == 20)
    assert told == sorted(told, reverse=True)


@pytest.mark.parametrize("late", ["answered", "dropped"])
def test_a_worker_that_is_only_late_is_not_reported(rude, link, call, nudges, late):
    answered = threading.Event()

    def behave(server, connection):
        greeting(connection)
        for frame in server.frames(connection):
            if frame.kind == wire.CANCEL:
                if late == "answered":
                    connection.sendall(b"".join(wire.encode_response(frame.id, 200, (0, 0, 0), b"", b"")))
                else:
                    connection.sendall(wire.encode(wire.DROPPED, frame.id))
                answered.set()

    rude(behave)
    with pytest.raises(DeadlineError):
        link.call(call(timeout_s=0.2))
    assert answered.wait(5)
    # Another one that is reported shows that the first would have been by now.
    with pytest.raises(DeadlineError):
        link.call(call(timeout_s=0.2 + GRACE_S))
    assert not nudges


def test_a_large_request_that_a_busy_worker_does_not_read_in_time_is_no_report(rude, context, call, nudges):
    go = threading.Event()

    def behave(server, connection):
        go.wait(20)

    rude(behave)
    link = BlockingFrameLink(context)
    with pytest.raises(DeadlineError):
        link.call(call(b"x" * 20_000_000, timeout_s=0.3))
    with pytest.raises(DeadlineError):
        link.call(call(b"x" * 20_000_000, timeout_s=GRACE_S * 2))
    assert not nudges
    go.set()
    link.close()


def test_requests_that_come_while_it_connects_share_one_connection(rude, async_link, call):
    server = rude(answer_others_first)
    futures = [async_link.start(call()) for _ in range(50)]
    assert all(future.result(10).status == 200 for future in futures)
    assert len(server.connections) == 1


def test_a_cancelled_call_tells_the_worker(rude, async_link, call, nudges):
    server = rude(never_answer)
    future = async_link.start(call(timeout_s=30))
    eventually(lambda: server.seen)
    future.cancel()
    eventually(lambda: [frame.kind for frame in server.seen] == [wire.REQUEST, wire.CANCEL])
    assert server.seen[0].id == server.seen[1].id
    assert not nudges


def test_all_requests_in_flight_are_lost_with_their_connection_and_none_is_left(rude, async_link, call):
    server = rude(never_answer)
    futures = [async_link.start(call(timeout_s=30)) for _ in range(100)]
    eventually(lambda: len(server.seen) == 100)
    (connection,) = async_link.link._connections.values()
    server.connections[0].shutdown(socket.SHUT_RDWR)
    for future in futures:
        with pytest.raises(LostError) as caught:
            future.result(10)
        assert caught.value.sent
    assert not connection.busy


def test_after_goodbye_what_is_under_way_is_answered_and_the_rest_goes_elsewhere(rude, async_link, call):
    finish = threading.Event()

    def behave(server, connection):
        greeting(connection)
        frame = next(server.frames(connection))
        connection.sendall(wire.encode(wire.GOODBYE))
        finish.wait(10)
        connection.sendall(b"".join(wire.encode_response(frame.id, 200, (0, 0, 0), b"", b"done")))
        # The link hangs up, having got all it waited for.
        server.seen += [None for _ in server.frames(connection)] or ["hung up"]

    server = rude(behave)
    first = async_link.start(call())
    eventually(lambda: server.seen and not next(iter(async_link.link._connections.values())).usable)
    second = async_link.start(call())
    eventually(lambda: len(server.connections) == 2)
    finish.set()
    assert first.result(10).body == b"done"
    assert second.result(10).body == b"done"
    eventually(lambda: server.seen.count("hung up") == 2)


# A real worker


@pytest.fixture
def worker(short, code):
    worker = WorkerProcess(worker_config(short, code))
    worker.connect().close()
    yield worker
    worker.end()


@pytest.fixture
def kept(short, shared):
    """A worker that other tests use too, at the address of this one's."""
    shared.connect().close()
    (short / "w1.sock").symlink_to(shared.address)
    return shared


def test_a_restarted_worker_at_the_same_address_is_found_again(worker, link, call, short, code):
    assert predictions(link.call(call(ask("echo", "x")))) == ["x"]
    worker.terminate()
    assert worker.process.wait(10) == 0
    with pytest.raises(LostError) as caught:
        link.call(call(ask("echo", "x")))
    assert not caught.value.sent
    again = WorkerProcess(worker_config(short, code))
    try:
        again.connect().close()
        assert predictions(link.call(call(ask("echo", "again")))) == ["again"]
    finally:
        again.end()


def test_a_request_that_waits_behind_slow_ones_times_out_and_the_worker_is_not_blamed(
    kept, async_link, call, nudges, tmp_path
):
    """More requests than threads: those that wait time out, and are dropped when the slow ones end in time."""
    slow = [async_link.start(call(ask("wait", str(tmp_path / "go")))) for _ in range(40)]
    late = async_link.start(call(ask("touch", str(tmp_path / "late")), timeout_s=0.2))
    with pytest.raises(DeadlineError):
        late.result(10)
    (tmp_path / "go").touch()
    for future in slow:
        assert predictions(future.result(20)) == ["wait"]
    (connection,) = async_link.link._connections.values()
    eventually(lambda: not connection.busy)
    assert not nudges
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize("kind", [OnALoop, BlockingFrameLink])
def test_a_prediction_that_hangs_is_the_worker_s_own_business_while_the_worker_lives(
    start, context, call, nudges, kind
):
    """Of link and worker only the link watches here. Once the worker is stopped, the link reports the worker."""
    # A busy machine may take a while to answer a ping.
    link = kind(LinkContext(context.snapshot, nudges.append, overdue_grace_s=1.5))
    worker = start(overdue_grace_s=3600.0)
    worker.connect().close()
    # The time allowed lets a busy machine begin the prediction.
    for _ in range(2):
        with pytest.raises(DeadlineError):
            link.call(call(ask("sleep", "600"), timeout_s=2.0))
    assert not nudges
    worker.process.send_signal(signal.SIGSTOP)
    with pytest.raises(DeadlineError):
        link.call(call(ask("echo", "x"), timeout_s=2.0))
    eventually(lambda: OVERDUE in nudges)
    link.close()


def test_a_worker_that_dies_scoring_is_a_loss_after_sending(worker, link, call):
    with pytest.raises(LostError) as caught:
        link.call(call(ask("kill")))
    assert caught.value.sent
