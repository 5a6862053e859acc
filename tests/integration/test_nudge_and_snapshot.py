"""What goes between the controller and the web workers of a host: nudges one way, the routes snapshot the other."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import sys
import threading
import time
from dataclasses import replace

import pytest
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.domain.routes import FORMAT, Routes
from mlflow_serving_plugin.domain.routes_text import dump_routes
from mlflow_serving_plugin.host.messages import Changed, Inbox, Lost, Overdue, Wake, send_nudge
from mlflow_serving_plugin.host.snapshot import Publisher, SnapshotReader, publish

PROMPT_S = 0.5
LONG_S = 20.0


@pytest.fixture
def inbox(paths):
    found = Inbox(paths.nudges)
    yield found
    found.close()


def took(action) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start


# Nudges


@pytest.mark.parametrize(
    "nudge",
    [
        Changed(),
        Changed("default", "iris"),
        Lost("w1", in_hand=True),
        Changed("default", "üñ 'x' \"y\""),
        Overdue("w1"),
        Wake("e1", "3"),
    ],
    ids=repr,
)
def test_a_nudge_arrives_as_it_was_sent(inbox, paths, nudge):
    send_nudge(paths.nudges, nudge)
    assert inbox.wait(LONG_S) == [nudge]


def test_a_nudge_comes_from_another_process(inbox, paths):
    code = (
        "import pathlib, sys; from mlflow_serving_plugin.host.messages import *;"
        "send_nudge(pathlib.Path(sys.argv[1]), Changed('default', 'iris'))"
    )
    subprocess.run([sys.executable, "-c", code, str(paths.nudges)], check=True)
    assert inbox.wait(LONG_S) == [Changed("default", "iris")]


def test_a_nudge_ends_a_long_wait_at_once(inbox, paths):
    heard: list[float] = []
    waiter = threading.Thread(target=lambda: (inbox.wait(LONG_S), heard.append(time.monotonic())))
    waiter.start()
    sent = time.monotonic()
    send_nudge(paths.nudges, Changed())
    waiter.join(LONG_S)
    assert heard[0] - sent < PROMPT_S


def test_all_nudges_that_are_there_come_at_once_and_in_order(inbox, paths):
    sent = [Changed("default", str(number)) for number in range(5)]
    for nudge in sent:
        send_nudge(paths.nudges, nudge)
    assert inbox.wait(LONG_S) == sent
    assert inbox.wait(0) == []


def test_without_a_nudge_a_wait_ends_when_its_time_is_up(inbox):
    assert inbox.wait(0.05) == []
    assert inbox.wait(-1) == []


def test_a_nudge_that_nobody_hears_is_lost_without_an_error(paths):
    send_nudge(paths.nudges, Changed())
    Inbox(paths.nudges).close()
    send_nudge(paths.nudges, Changed())
    assert not paths.nudges.exists()


def test_a_nudge_to_a_controller_that_was_killed_is_lost_without_an_error(paths):
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(paths.nudges))
    dead.close()
    assert paths.nudges.exists()
    send_nudge(paths.nudges, Changed())


def test_nudges_that_a_busy_controller_does_not_take_block_nobody(inbox, paths):
    assert took(lambda: [send_nudge(paths.nudges, Changed("default", "iris")) for _ in range(2000)]) < LONG_S / 4
    assert set(inbox.wait(LONG_S)) == {Changed("default", "iris")}


def test_a_second_inbox_takes_over_and_the_first_leaves_it_its_socket(paths):
    first = Inbox(paths.nudges)
    second = Inbox(paths.nudges)
    try:
        send_nudge(paths.nudges, Changed("default", "to the second"))
        assert first.wait(0) == []
        assert second.wait(LONG_S) == [Changed("default", "to the second")]
        first.close()
        send_nudge(paths.nudges, Changed("default", "after the first"))
        assert second.wait(LONG_S) == [Changed("default", "after the first")]
    finally:
        second.close()
    assert not paths.nudges.exists()


def test_an_inbox_takes_the_place_of_what_a_killed_controller_left(paths):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as dead:
        dead.bind(str(paths.nudges))
    inbox = Inbox(paths.nudges)
    send_nudge(paths.nudges, Changed())
    assert inbox.wait(LONG_S) == [Changed()]
    inbox.close()


def test_only_this_user_can_nudge(inbox, paths):
    assert stat.S_IMODE(paths.nudges.stat().st_mode) == 0o600


OF_EARLIER_VERSIONS = b'{"workspace": "default", "name": "iris", "overdue_worker": null, "retry": true}'


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\x00", b"not json", b"[]", b"7", b'{"unknown": 1}', b'{"name": ' + b"x" * 8000, OF_EARLIER_VERSIONS],
)
def test_garbage_is_heard_as_look_at_everything(inbox, paths, data):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(data, str(paths.nudges))
    assert inbox.wait(LONG_S) == [Changed()]


def test_wake_ends_a_wait_in_another_thread(inbox):
    result: list[object] = []
    waiter = threading.Thread(target=lambda: result.append(inbox.wait(LONG_S)))
    waiter.start()
    inbox.wake()
    waiter.join(LONG_S / 2)
    assert result == [[]]


def test_wake_ends_the_next_wait_too_but_only_that_one(inbox):
    inbox.wake()
    assert took(lambda: inbox.wait(LONG_S)) < LONG_S / 2
    assert took(lambda: inbox.wait(0.1)) >= 0.09


def test_wake_never_blocks_nor_fails_however_often_and_late(paths):
    inbox = Inbox(paths.nudges)
    for _ in range(10_000):
        inbox.wake()
    assert inbox.wait(LONG_S) == []
    inbox.close()
    inbox.wake()


# The snapshot


def routes(*names: str, written_ms: int = 1) -> Routes:
    one_each = [routes_of(an_entity(endpoint_id=name, model=name), endpoint_id=name, name=name) for name in names]
    endpoints = {key: endpoint for one in one_each for key, endpoint in one.endpoints.items()}
    entities = {key: entity for one in one_each for key, entity in one.entities.items()}
    return Routes(written_ms=written_ms, endpoints=endpoints, entities=entities)


def test_before_the_first_snapshot_nothing_is_served(paths):
    assert SnapshotReader(paths.routes, 0).current() == Routes()


def test_a_new_snapshot_is_noticed(paths):
    reader = SnapshotReader(paths.routes, 0)
    for names in ([], ["iris"], ["iris", "wine"], ["wine"]):
        publish(paths.routes, routes(*names))
        assert reader.current() == routes(*names)


def test_a_new_snapshot_of_the_same_size_and_time_is_noticed(paths):
    reader = SnapshotReader(paths.routes, 0)
    for written_ms in (1, 2):
        publish(paths.routes, routes("iris", written_ms=written_ms))
        os.utime(paths.routes, (1, 1))
        assert reader.current().written_ms == written_ms


def test_what_has_not_changed_is_taken_over_from_the_snapshot_before(paths):
    publisher, reader = Publisher(paths.routes), SnapshotReader(paths.routes, 0)
    publisher.publish(routes("iris", "wine"))
    before = reader.current()
    changed = routes("iris", "wine", "rose")
    changed.entities["wine/1"] = replace(changed.entities["wine/1"], message="Other.")
    publisher.publish(changed)
    after = reader.current()
    assert after == changed
    assert after.endpoints["default/iris"] is before.endpoints["default/iris"]
    assert after.entities["iris/1"] is before.entities["iris/1"]
    publisher.publish(routes("wine"))
    assert reader.current() == routes("wine")


def test_entities_that_outlive_their_endpoint_are_in_the_snapshot(paths):
    left = replace(routes("iris"), endpoints={})
    publish(paths.routes, left)
    assert SnapshotReader(paths.routes, 0).current() == left


def test_a_snapshot_that_did_not_change_is_not_read_again(paths):
    publish(paths.routes, routes("iris"))
    reader = SnapshotReader(paths.routes, 0)
    assert reader.current() is reader.current()


def test_the_file_is_looked_at_only_so_often(paths):
    publish(paths.routes, routes("iris"))
    reader = SnapshotReader(paths.routes, check_every_s=3600)
    assert reader.current() == routes("iris")
    publish(paths.routes, routes("wine"))
    assert reader.current() == routes("iris")


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: b"\x00" * len(data),
    ],
    ids=["empty", "half", "zeros"],
)
def test_a_damaged_snapshot_leaves_the_routes_before_it_until_a_good_one_comes(paths, damage, caplog):
    publish(paths.routes, routes("iris"))
    reader = SnapshotReader(paths.routes, 0)
    assert reader.current() == routes("iris")
    paths.routes.write_bytes(damage(dump_routes(routes("wine"))))
    assert reader.current() == routes("iris")
    assert "could not be read; using the one before" in caplog.text
    publish(paths.routes, routes("wine"))
    assert reader.current() == routes("wine")


def test_a_snapshot_of_another_version_of_the_package_leaves_the_routes_until_it_is_replaced(paths, caplog):
    caplog.set_level("INFO")
    publish(paths.routes, routes("iris"))
    reader = SnapshotReader(paths.routes, 0)
    assert reader.current() == routes("iris")
    written = f'"format":{FORMAT}'.encode()
    paths.routes.write_bytes(dump_routes(routes("wine")).replace(written, b'"format":1'))
    assert reader.current() == routes("iris")
    assert "Waiting for the controller to replace the routes snapshot" in caplog.text
    publish(paths.routes, routes("wine"))
    assert reader.current() == routes("wine")


def test_a_damaged_snapshot_is_complained_of_once_and_not_at_every_look(paths, caplog):
    paths.routes.write_bytes(b"{")
    reader = SnapshotReader(paths.routes, 0)
    for _ in range(100):
        reader.current()
    assert caplog.text.count("could not be read") == 1


def test_a_snapshot_that_could_not_be_opened_is_tried_again(paths, monkeypatch):
    publish(paths.routes, routes("iris"))
    reader = SnapshotReader(paths.routes, 0)

    def refuse(*_):
        raise OSError("too many open files")

    with monkeypatch.context() as patched:
        patched.setattr(type(paths.routes), "open", refuse)
        assert reader.current() == Routes()
    assert reader.current() == routes("iris")


def test_a_snapshot_that_went_missing_leaves_the_routes_before_it(paths):
    publish(paths.routes, routes("iris"))
    reader = SnapshotReader(paths.routes, 0)
    reader.current()
    paths.routes.unlink()
    assert reader.current() == routes("iris")


def test_publishing_leaves_nothing_but_the_snapshot(paths):
    before = set(paths.root.iterdir())
    publish(paths.routes, routes("iris"))
    assert set(paths.root.iterdir()) - before == {paths.routes}


def test_a_reader_beside_a_writer_never_sees_a_part(paths, caplog):
    """Snapshots of very different sizes, so that a write in place would be caught."""
    few, many = routes("iris"), routes(*(f"model-{number}" for number in range(300)))
    publish(paths.routes, few)
    stop = threading.Event()
    turns = [0]

    def write() -> None:
        while not stop.is_set():
            publish(paths.routes, few if turns[0] % 2 else many)
            turns[0] += 1

    writer = threading.Thread(target=write)
    writer.start()
    reader, seen = SnapshotReader(paths.routes, 0), []
    try:
        deadline = time.monotonic() + LONG_S
        while (len(seen) < 300 or turns[0] < 50) and time.monotonic() < deadline:
            seen.append(len(reader.current().endpoints))
    finally:
        stop.set()
        writer.join()
    assert set(seen) == {1, 300}
    assert caplog.text == ""


def test_a_file_that_cannot_be_replaced_leaves_no_scrap(paths):
    paths.routes.mkdir()
    with pytest.raises(OSError):
        publish(paths.routes, routes("iris"))
    assert [path.name for path in paths.root.glob("routes*")] == ["routes.json"]
