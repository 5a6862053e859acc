"""The state directory belongs to the server's user, and sockets in it have paths that the kernel takes."""

from __future__ import annotations

import os
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from mlflow_serving_plugin.errors import ConfigurationError
from mlflow_serving_plugin.host.messages import Inbox
from mlflow_serving_plugin.host.modes import loose_directories
from mlflow_serving_plugin.host.paths import StatePaths

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can give a directory away")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def directories(paths: StatePaths) -> list[Path]:
    return [paths.root, paths.sockets, paths.models, paths.workers, paths.logs]


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_every_directory_is_this_user_s_alone_whatever_the_umask(root, umask):
    before = os.umask(umask)
    try:
        paths = StatePaths.create(root / "state")
    finally:
        os.umask(before)
    assert [mode(directory) for directory in directories(paths)] == [0o700] * 5


def test_a_directory_that_others_could_read_is_closed_to_them(root):
    (root / "state").mkdir(mode=0o755)
    (root / "state" / "logs").mkdir(mode=0o777)
    (root / "state" / "logs").chmod(0o777)
    paths = StatePaths.create(root / "state")
    assert mode(paths.root) == mode(paths.logs) == 0o700


def test_a_state_directory_is_found_again_with_what_is_in_it(root):
    first = StatePaths.create(root / "state")
    first.routes.write_text("kept")
    again = StatePaths.create(root / "state")
    assert vars(again) == vars(first)
    assert again.routes.read_text() == "kept"


def test_two_state_directories_share_no_path(root):
    one, two = StatePaths.create(root / "one"), StatePaths.create(root / "two")
    assert {one.nudges, one.routes, one.lease, one.lock("web")}.isdisjoint(
        {two.nudges, two.routes, two.lease, two.lock("web")}
    )


@needs_root
@pytest.mark.parametrize("name", ["", "sockets", "models", "workers", "logs"])
def test_a_directory_of_another_user_is_refused(root, name):
    StatePaths.create(root / "state")
    os.chown(root / "state" / name, 12345, 12345)
    with pytest.raises(ConfigurationError, match=r"belongs to another user\. Set MLFLOW_SERVING_STATE_DIR\.$"):
        StatePaths.create(root / "state")


def test_a_link_in_the_place_of_a_directory_is_refused(root):
    """In a directory that others can write to, it could lead anywhere."""
    (root / "elsewhere").mkdir()
    (root / "state").symlink_to(root / "elsewhere")
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        StatePaths.create(root / "state")
    assert list((root / "elsewhere").iterdir()) == []


def test_a_file_in_the_place_of_the_directory_is_refused_in_a_sentence(root):
    (root / "state").write_text("")
    with pytest.raises(ConfigurationError, match=r"^The serving state directory cannot be used: .*STATE_DIR\.$"):
        StatePaths.create(root / "state")


def test_a_relative_path_and_one_in_the_home_directory_become_absolute(root, monkeypatch):
    monkeypatch.chdir(root)
    monkeypatch.setenv("HOME", str(root))
    assert StatePaths.create(Path("here")).root == root / "here"
    assert StatePaths.create(Path("~/there")).root == root / "there"


# Long paths


@pytest.fixture
def elsewhere(root, monkeypatch) -> Path:
    """The directory for temporary files."""
    directory = root / "t"
    directory.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    return directory


@pytest.fixture(params=["x" * 120, "ü" * 35, "deep/" * 30], ids=["long", "long in bytes", "deep"])
def too_long(root, request) -> Path:
    return root / request.param


def test_sockets_stand_in_the_state_directory_when_its_path_is_short(root, elsewhere):
    assert StatePaths.create(root / "state").sockets == root / "state" / "sockets"
    assert list(elsewhere.iterdir()) == []


def test_sockets_of_a_state_directory_with_too_long_a_path_stand_elsewhere(too_long, elsewhere):
    paths = StatePaths.create(too_long)
    assert paths.sockets.parent == elsewhere
    assert mode(paths.sockets) == 0o700
    assert paths.models.is_relative_to(too_long)


def test_such_a_place_is_the_same_each_time_and_another_for_each_state_directory(too_long, elsewhere):
    first, again = StatePaths.create(too_long), StatePaths.create(too_long)
    assert first.sockets == again.sockets != StatePaths.create(too_long.with_name("y" * 120)).sockets


@needs_root
def test_such_a_place_that_another_user_made_first_is_refused(too_long, elsewhere):
    os.chown(StatePaths.create(too_long).sockets, 12345, 12345)
    with pytest.raises(ConfigurationError, match="belongs to another user"):
        StatePaths.create(too_long)


def test_the_kernel_takes_a_socket_at_any_length_of_the_state_directory_s_path(root, elsewhere):
    for length in range(1, 110):
        paths = StatePaths.create(root / ("s" * length))
        Inbox(paths.nudges).close()
        longest = paths.sockets / f"zygote-{'0' * 12}.sock.status"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(str(longest))


# Directories that others can change


@pytest.mark.parametrize(
    ("mode", "loose"), [(0o755, False), (0o700, False), (0o777, True), (0o757, True), (0o1777, False)]
)
def test_a_directory_above_in_which_others_can_replace_the_state_is_found(root, mode, loose):
    (root / "shared" / "state").mkdir(parents=True)
    (root / "shared").chmod(mode)
    assert loose_directories([root / "shared" / "state"]) == ([root / "shared"] if loose else [])


@needs_root
def test_directories_of_another_user_and_of_another_group_are_found(root):
    for name, owner, group, mode in [("a", 12345, 0, 0o700), ("b", 0, 12345, 0o775), ("c", 0, 0, 0o775)]:
        (root / name).mkdir()
        os.chown(root / name, owner, group)
        (root / name).chmod(mode)
    assert loose_directories([root / "a", root / "b", root / "c", root / "missing"]) == [root / "a", root / "b"]


def test_a_link_is_followed_to_where_the_files_are(root):
    (root / "open" / "state").mkdir(parents=True)
    (root / "open").chmod(0o777)
    (root / "link").symlink_to(root / "open" / "state")
    assert loose_directories([root / "link"]) == [root / "open"]
