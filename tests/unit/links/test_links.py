"""Every link against a real server of its protocol on a unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading

import pytest
from support import gateway_fakes
from support.gateway_fakes import PREDICTED, FrameWorker, Worker, routes, snapshot, until, version, worker_route

from mlflow_serving_plugin.errors import DeadlineError
from mlflow_serving_plugin.host.messages import Inbox, Overdue, send_nudge
from mlflow_serving_plugin.host.snapshot import publish
from mlflow_serving_plugin.links.base import LinkContext, LostError, WorkerCall
from mlflow_serving_plugin.links.frames_async import AsyncFrameLink
from mlflow_serving_plugin.links.frames_blocking import BlockingFrameLink
from mlflow_serving_plugin.links.http import AsyncHttpLink, BlockingHttpLink


class _OnALoop:
    """The async link behind a blocking face: its event loop runs in a thread."""

    def __init__(self, context: LinkContext, kind: type) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._link = kind(context)

    def start(self, call: WorkerCall):
        return asyncio.run_coroutine_threadsafe(self._link.call(call), self._loop)

    def call(self, call: WorkerCall):
        return self.start(call).result(10)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._link.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture
def place(short):
    path = short / "w1"
    published = routes(version(1, worker_route(path)))
    return path, snapshot(short / "routes.json", published)


@pytest.fixture
def inbox(short):
    inbox = Inbox(short / "nudge")
    yield inbox
    inbox.close()


def opened(kind, context):
    return _OnALoop(context, kind) if kind in {AsyncHttpLink, AsyncFrameLink} else kind(context)


@pytest.fixture
def grace_s():
    return 0.1


@pytest.fixture(params=[AsyncHttpLink, BlockingHttpLink, AsyncFrameLink, BlockingFrameLink])
def link(request, short, place, inbox, grace_s):
    context = LinkContext(place[1], lambda nudge: send_nudge(short / "nudge", nudge), overdue_grace_s=grace_s)
    link = opened(request.param, context)
    link.worker_kind = FrameWorker if request.param in {AsyncFrameLink, BlockingFrameLink} else Worker
    yield link
    link.close()


http_only = pytest.mark.parametrize("link", [AsyncHttpLink, BlockingHttpLink], indirect=True)


def worker(link, path, answer=lambda *_: PREDICTED):
    return gateway_fakes.worker(path, answer, link.worker_kind)


def call_for(path, body=b"{}", timeout_s=5.0):
    return WorkerCall(worker_route(path), "application/json", body, timeout_s, "default", "iris")


def test_an_answer_of_any_status_is_brought_back(link, place):
    def answer(content_type, body):
        return (418, "text/plain", content_type.encode() + b" " + body)

    with worker(link, place[0], answer):
        reply = link.call(call_for(place[0], b"[1]"))
    assert (reply.status, reply.content_type, reply.body) == (418, "text/plain", b"application/json [1]")


def test_a_large_body_and_a_large_answer_pass_whole(link, place):
    body = bytes(range(256)) * 16_384
    with worker(link, place[0], lambda _, got: (200, "application/json", got)):
        assert link.call(call_for(place[0], body)).body == body


def test_connections_are_kept(link, place):
    with worker(link, place[0]) as server:
        for _ in range(5):
            assert link.call(call_for(place[0])).status == 200
        assert len(server.connections) == 1


def test_a_missing_socket_and_one_that_nobody_listens_on_are_losses_before_sending(link, place):
    with pytest.raises(LostError) as caught:
        link.call(call_for(place[0]))
    assert not caught.value.sent
    server = link.worker_kind(place[0])
    server.shutdown()
    server.server_close()
    with pytest.raises(LostError) as caught:
        link.call(call_for(place[0]))
    assert not caught.value.sent


def test_a_worker_that_breaks_off_is_lost_after_sending_and_not_asked_again(link, place):
    with worker(link, place[0], lambda *_: None) as server:
        with pytest.raises(LostError) as caught:
            link.call(call_for(place[0]))
        assert caught.value.sent
        assert len(server.seen) == 1


@http_only
def test_a_kept_connection_that_the_worker_dropped_costs_nothing(link, place):
    with worker(link, place[0]) as server:
        link.call(call_for(place[0]))
        server.drop_connections()
        assert link.call(call_for(place[0])).status == 200
        assert len(server.connections) == 2


@http_only
def test_a_kept_connection_that_breaks_unanswered_is_tried_once_more_on_a_fresh_one(link, place):
    answers = [PREDICTED, None, PREDICTED]
    with worker(link, place[0], lambda *_: answers.pop(0)) as server:
        link.call(call_for(place[0]))
        assert link.call(call_for(place[0])).status == 200
        assert len(server.seen) == 3


@http_only
def test_a_worker_that_dies_of_a_request_on_a_kept_connection_counts_as_sent(link, place):
    with worker(link, place[0]) as server:
        link.call(call_for(place[0]))

        def die(*_):
            server.server_close()
            place[0].unlink()

        server.answer = die
        with pytest.raises(LostError) as caught:
            link.call(call_for(place[0]))
        assert caught.value.sent


def test_a_restarted_worker_is_found_at_its_old_address(link, place):
    with worker(link, place[0]):
        link.call(call_for(place[0]))
    with worker(link, place[0]):
        assert link.call(call_for(place[0])).status == 200


def time_out(link, path, server):
    """Have a call time out that the worker has seen: on a busy machine a short one may end before."""
    for timeout_s in (0.02, 0.2, 2, 20):
        with pytest.raises(DeadlineError):
            link.call(call_for(path, timeout_s=timeout_s))
        if server.seen:
            break


def test_an_overdue_worker_is_reported_when_the_grace_is_over(link, place, inbox):
    release = threading.Event()
    with worker(link, place[0], lambda *_: release.wait(30) and PREDICTED) as server, contextlib.ExitStack() as stack:
        stack.callback(release.set)
        time_out(link, place[0], server)
        # A link of frames reports a worker that gives no sign of life; of HTTP, a worker whose prediction runs on.
        assert inbox.wait(30)[:1] == [Overdue("w1", answers=link.worker_kind is Worker)]


@pytest.mark.parametrize("grace_s", [0.7])
def test_a_late_answer_within_the_grace_is_no_reason_to_restart(link, place, inbox, grace_s):
    release = threading.Event()
    with worker(link, place[0], lambda *_: release.wait(10) and PREDICTED) as server:
        time_out(link, place[0], server)
        release.set()
        until(lambda: server.seen)
        assert inbox.wait(grace_s + 0.2) == []


def test_connections_of_workers_that_left_the_snapshot_are_dropped(link, place, short):
    other = short / "w2"
    with worker(link, place[0]) as first, worker(link, other):
        link.call(call_for(place[0]))
        publish(short / "routes.json", routes(version(1, worker_route(other, "w2"))))
        link.call(call_for(other))
        until(lambda: first.connections[0].fileno() == -1)


def test_many_calls_at_once_share_one_link(link, place):
    replies = []

    def score(number):
        replies.append(link.call(call_for(place[0], str(number).encode())).body)

    with worker(link, place[0], lambda _, body: (200, "application/json", body)):
        threads = [threading.Thread(target=score, args=(number,)) for number in range(30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
    assert sorted(replies, key=int) == [str(number).encode() for number in range(30)]


@pytest.mark.parametrize("link", [AsyncHttpLink, AsyncFrameLink], indirect=True)
def test_a_cancelled_call_ends_the_request_to_the_worker(link, place):
    release = threading.Event()
    with worker(link, place[0], lambda *_: release.wait(10) and PREDICTED) as server:
        running = link.start(call_for(place[0]))
        until(lambda: server.seen)
        running.cancel()
        if isinstance(server, FrameWorker):
            until(lambda: server.cancelled)
        else:
            server.connections[0].settimeout(5)
            assert server.connections[0].recv(1, socket.MSG_PEEK) == b""
        release.set()


@pytest.mark.parametrize("link", [AsyncFrameLink, BlockingFrameLink], indirect=True)
def test_a_worker_of_frames_tells_its_times(link, place):
    with worker(link, place[0]):
        assert link.call(call_for(place[0])).times_us == (2, 3, 4)
