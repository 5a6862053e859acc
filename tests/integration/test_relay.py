"""Both links of the frames protocol through a real relay, against workers in its place, frozen nodes and impostors."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import select
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from support import eventually, gateway_fakes
from support.certificates import Authority
from support.gateway_fakes import PREDICTED, FrameWorker
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.domain.routes import WorkerRoute
from mlflow_serving_plugin.links.base import LinkContext, LostError, WorkerCall
from mlflow_serving_plugin.links.frames_async import AsyncFrameLink
from mlflow_serving_plugin.links.frames_blocking import BlockingFrameLink
from mlflow_serving_plugin.links.pulse import MOST_MISSED, SILENT, Pulse
from mlflow_serving_plugin.links.tcp import RefusedError, connect
from mlflow_serving_plugin.relay import proof
from mlflow_serving_plugin.relay.process import RelayFailedError, end_relay, ensure_relay
from mlflow_serving_plugin.relay.server import MOST_UNPROVED

WORKER, SECRET = "0123456789ab", "correct horse battery staple"


class Node:
    """A relay, and workers that it knows."""

    def __init__(self, root):
        self.root = root
        (root / "workers").mkdir()
        (root / "lease").touch()
        self.start()

    def start(self):
        self.port = ensure_relay(self.root, host="127.0.0.1", ports=(0, 0), orphan_grace_s=600.0)

    def pid(self):
        return json.loads((self.root / "relay.json").read_bytes())["pid"]

    def add(self, worker_id=WORKER, secret=SECRET):
        record = {"secret": secret, "address": str(self.root / f"{worker_id}.sock")}
        (self.root / "workers" / f"{worker_id}.json").write_text(json.dumps(record))
        return self.root / f"{worker_id}.sock"

    def address(self, port=None):
        return proof.Address("127.0.0.1", port or self.port, WORKER)

    def signal(self, number):
        os.kill(self.pid(), number)

    def end(self):
        with contextlib.suppress(OSError, ValueError):
            self.signal(signal.SIGCONT)
        end_relay(self.root)


@pytest.fixture
def node(root):
    root.mkdir(exist_ok=True)
    node = Node(root)
    yield node
    node.end()


@pytest.fixture(params=["plain", "TLS"])
def any_node(request, monkeypatch, tmp_path):
    """A node of a cluster without and with TLS; asked for before ``node``."""
    if request.param == "TLS":
        use(monkeypatch, Authority(tmp_path / "authority").variables())
    return request.getfixturevalue("node")


def use(monkeypatch, variables):
    """This process is a host of a cluster from now on."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


class Snapshot:
    """A routes snapshot with one worker."""

    def __init__(self, address, secret=SECRET):
        self.route = WorkerRoute(WORKER, "frames", str(address), None, 0, True, secret)
        self.routes = routes_of(an_entity(workers=(self.route,)))

    def current(self):
        return self.routes


class OnALoop:
    """The async link behind a blocking face: its event loop runs in a thread."""

    def __init__(self, context):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.link = AsyncFrameLink(context)

    def call(self, call):
        return asyncio.run_coroutine_threadsafe(self.link.call(call), self.loop).result(60)

    def close(self):
        asyncio.run_coroutine_threadsafe(self.link.close(), self.loop).result(10)
        eventually(lambda: not self.link._all)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@pytest.fixture(params=[OnALoop, BlockingFrameLink])
def opened(request):
    """Opens links: ``opened(address, secret)`` gives a function that calls the worker with a body."""
    links = []

    def opened(address, secret=SECRET):
        snapshot = Snapshot(address, secret)
        link = request.param(LinkContext(snapshot, lambda _: None, 60.0))
        links.append(link)
        return lambda body=b"{}": link.call(WorkerCall(snapshot.route, "text/plain", body, 60.0, "default", "m"))

    yield opened
    for link in links:
        link.close()


def test_requests_pass_in_both_directions_whole_and_side_by_side(any_node, opened):
    large, small = [b"x" * size for size in (0, 1, 70_000, 5_000_000)], [b"%d" % number for number in range(100)]
    with gateway_fakes.worker(any_node.add(), lambda _, body: (418, "text/plain", body), FrameWorker):
        ask = opened(any_node.address())
        with ThreadPoolExecutor(8) as pool:
            assert [reply.body for reply in pool.map(ask, small)] == small
        assert [ask(body).body for body in large] == large
    with pytest.raises(LostError):
        ask()


def test_a_relay_is_started_once_for_a_state_directory_and_found_again(node):
    pid = node.pid()
    assert ensure_relay(node.root, host="127.0.0.1", ports=(0, 0), orphan_grace_s=600.0) == node.port
    assert node.pid() == pid
    node.end()
    eventually(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


def test_without_the_workers_secret_nobody_reaches_the_worker(any_node, opened):
    with gateway_fakes.worker(any_node.add(), kind=FrameWorker) as worker:
        for secret in ("", SECRET[:-1], SECRET + " "):
            with pytest.raises(LostError, match="no such worker") as caught:
                opened(any_node.address(), secret)()
            assert not caught.value.sent
        assert not worker.connections
    # A worker that is not to be reached from other hosts has no secret.
    any_node.add(secret="")
    with pytest.raises(LostError, match="no such worker"):
        opened(any_node.address(), "")()


def test_what_others_overhear_opens_no_connection_and_holds_no_secret(node):
    node.add()
    with socket.create_server(("127.0.0.1", 0)) as wire_tap, gateway_fakes.worker(node.add(), kind=FrameWorker):
        heard = []

        def overhear():
            caller = wire_tap.accept()[0]
            with caller, socket.create_connection(node.address().node) as relay:
                for source, target, size in (
                    (relay, caller, proof.HELLO_BYTES),
                    (caller, relay, proof.ANSWER_BYTES),
                    (relay, caller, proof.PROOF_BYTES),
                ):
                    heard.append(source.recv(size, socket.MSG_WAITALL))
                    target.sendall(heard[-1])

        thread = threading.Thread(target=overhear)
        thread.start()
        connect(node.address(wire_tap.getsockname()[1]), SECRET, 30.0).close()
        thread.join()
        assert SECRET.encode() not in b"".join(heard)
        with socket.create_connection(node.address().node) as again:
            again.recv(proof.HELLO_BYTES, socket.MSG_WAITALL)
            again.sendall(heard[1])
            assert received(again) == b""


def test_a_relay_that_does_not_know_the_secret_gets_no_request(opened):
    heard = []
    with socket.create_server(("127.0.0.1", 0)) as impostor:

        def pretend():
            with contextlib.suppress(OSError):
                while True:
                    caller = impostor.accept()[0]
                    with caller:
                        caller.sendall(proof.hello(b"n" * proof.NONCE_BYTES))
                        caller.recv(proof.ANSWER_BYTES, socket.MSG_WAITALL)
                        caller.sendall(b"p" * proof.PROOF_BYTES)
                        heard.append(received(caller))

        threading.Thread(target=pretend, daemon=True).start()
        with pytest.raises(LostError) as caught:
            opened(proof.Address("127.0.0.1", impostor.getsockname()[1], WORKER))(b"private")
        assert not caught.value.sent
        assert "private" not in str(heard)
        impostor.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "said", [b"\0" * proof.ANSWER_BYTES, b"GET / HTTP/1.1\r\n\r\n" * 9, b"C../../etc/pass".ljust(81)]
)
def test_callers_of_other_protocols_learn_the_relays_name_and_nothing_else(node, said):
    with socket.create_connection(node.address().node) as stranger:
        assert len(stranger.recv(proof.HELLO_BYTES, socket.MSG_WAITALL)) == proof.HELLO_BYTES
        stranger.sendall(said)
        assert received(stranger) == b""


def test_callers_without_a_proof_do_not_keep_others_out_for_long(node):
    node.add()
    with contextlib.ExitStack() as stack, gateway_fakes.worker(node.add(), kind=FrameWorker):
        for _ in range(MOST_UNPROVED):
            stack.enter_context(socket.create_connection(node.address().node))

        def let_in():
            try:
                connect(node.address(), SECRET, 30.0).close()
            except OSError:
                return False
            return True

        eventually(let_in)


def test_a_frozen_nodes_requests_are_given_up_and_the_node_is_used_again_once_it_thaws(any_node, opened):
    asked, goes_on = threading.Event(), threading.Event()

    def answer(_, body):
        if body == b"long":
            asked.set()
            goes_on.wait(60)
        return PREDICTED

    with gateway_fakes.worker(any_node.add(), answer, FrameWorker), ThreadPoolExecutor() as pool:
        ask = opened(any_node.address())
        assert ask().status == 200
        under_way = pool.submit(ask, b"long")
        assert asked.wait(30)
        any_node.signal(signal.SIGSTOP)
        with pytest.raises(LostError, match=SILENT) as caught:
            under_way.result(60)
        assert caught.value.sent
        # While the node is silent, nobody waits for it.
        with pytest.raises(LostError, match=SILENT) as caught:
            ask()
        assert not caught.value.sent
        goes_on.set()
        any_node.signal(signal.SIGCONT)

        def answers():
            with contextlib.suppress(LostError):
                return ask().status == 200

        eventually(answers)


def test_a_worker_that_computes_for_long_is_not_taken_for_frozen(any_node, opened):
    goes_on = threading.Event()

    def answer(*_):
        goes_on.wait(60)
        return PREDICTED

    with gateway_fakes.worker(any_node.add(), answer, FrameWorker), ThreadPoolExecutor() as pool:
        under_way = pool.submit(opened(any_node.address()))
        lost, renewed = [], set()
        pulse = Pulse(any_node.address(), SECRET, lambda: lost.append(True), proof.LEASE)

        def renewed_often():
            renewed.add((any_node.root / "lease").stat().st_mtime_ns)
            return len(renewed) > 2 * MOST_MISSED

        eventually(renewed_often, 60.0)
        pulse.stop()
        assert not under_way.done()
        assert not lost
        goes_on.set()
        assert under_way.result(60).status == 200


def test_a_worker_that_ends_ends_its_connections_and_is_refused_from_then_on(any_node, opened):
    with gateway_fakes.worker(any_node.add(), lambda *_: None, FrameWorker):
        with pytest.raises(LostError) as caught:
            opened(any_node.address())()
        assert caught.value.sent
    (any_node.root / "workers" / f"{WORKER}.json").unlink()
    with pytest.raises(RefusedError):
        connect(any_node.address(), SECRET, 30.0)


def test_with_tls_nothing_that_passes_can_be_read(node, opened, monkeypatch, tmp_path):
    node.end()
    use(monkeypatch, Authority(tmp_path).variables())
    node.start()
    heard = []

    def listen(tap):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=overhear, args=(tap.accept()[0],), daemon=True).start()

    def overhear(caller):
        with contextlib.suppress(OSError), caller, socket.create_connection(node.address().node) as relay:
            while sides := select.select([caller, relay], [], [], 60)[0]:
                for side in sides:
                    if not (data := side.recv(65536)):
                        return
                    heard.append(data)
                    (relay if side is caller else caller).sendall(data)

    with socket.create_server(("127.0.0.1", 0)) as tap, gateway_fakes.worker(node.add(), kind=FrameWorker):
        threading.Thread(target=listen, args=(tap,), daemon=True).start()
        ask = opened(node.address(tap.getsockname()[1]))
        assert ask(b"confidential" * 1000).body == PREDICTED[2]
        tap.shutdown(socket.SHUT_RDWR)
    said = b"".join(heard)
    assert len(said) > 12_000 and b"confidential" not in said and b"predictions" not in said


@pytest.mark.parametrize("whose", ["of another cluster", "of another host", "none"])
def test_with_tls_a_relay_or_caller_without_its_own_certificate_of_the_cluster_is_refused(
    whose, node, opened, monkeypatch, tmp_path
):
    node.end()
    authority = Authority(tmp_path / "this")
    use(monkeypatch, authority.variables("10.1.2.3" if whose == "of another host" else "127.0.0.1"))
    node.start()
    if whose == "of another cluster":
        use(monkeypatch, Authority(tmp_path / "other").variables())
    elif whose == "none":
        for name in authority.variables():
            monkeypatch.delenv(name)
    with gateway_fakes.worker(node.add(), kind=FrameWorker) as worker:
        with pytest.raises(LostError) as caught:
            opened(node.address())(b"private")
        assert not caught.value.sent
        assert not worker.connections


def test_a_relay_without_the_certificates_that_it_is_to_use_says_what_is_missing(node, monkeypatch, tmp_path):
    node.end()
    variables = Authority(tmp_path).variables()
    use(monkeypatch, {**variables, "RAY_TLS_CA_CERT": ""})
    with pytest.raises(RelayFailedError, match="RAY_USE_TLS is set, and RAY_TLS_CA_CERT is not"):
        node.start()


def received(connection):
    """All that comes until the connection ends."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            data += piece
    return data
