"""What each level of isolation stops, as root and as an ordinary user; and that a model's own work goes on.

``docs/how-to/sandbox.md`` has the same table, which a test compares with this one.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import attempts

from mlflow_serving_plugin.backends.commands import WORKER_PACKAGE
from mlflow_serving_plugin.backends.isolation import levels
from mlflow_serving_plugin.backends.sandbox import system_view

PYTHON = "/usr/bin/python3"
"""One that an ordinary user may execute."""

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="isolation needs Linux"),
    pytest.mark.skipif(not Path(PYTHON).exists(), reason=f"no {PYTHON}"),
]

NOBODY = 65534
LEVELS = {
    "namespaces": {"namespaces": True, "landlock": 0, "seccomp": False},
    "namespaces, Landlock and filter": {"namespaces": True, "landlock": 7, "seccomp": True},
    "Landlock and filter": {"namespaces": False, "landlock": 7, "seccomp": True},
    "filter": {"namespaces": False, "landlock": 0, "seccomp": True},
}
OWN_WORK = {
    *("reads its own file", "writes to its scratch directory", "reads its own memory", "starts a thread"),
    *("starts a process", "executes a program", "makes a pair of sockets", "writes to /dev/null"),
}
NETWORK = {"connects by TCP", "sends by UDP"}
UNSTOPPED_BY_THE_FILTER = {
    *("reads a secret file", "reads a secret file by a link", "reads a secret file by /proc"),
    *("reads a secret file by /proc of another", "lists the directory of a secret file", "appends to a secret file"),
    *("writes beside its own file", "appends to its own file", "changes the kernel's settings"),
    "changes its model's files for others",
    *("reads another's environment", "reads another's memory", "signals another"),
}
POSSIBLE = {
    "namespaces": {*NETWORK, "connects to an abstract socket", "speaks to the hypervisor", "adds a key to the kernel"},
    "namespaces, Landlock and filter": NETWORK,
    "Landlock and filter": NETWORK,
    "filter": UNSTOPPED_BY_THE_FILTER | NETWORK,
}
DOCUMENTED = [level for level in LEVELS if level != "namespaces"]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory that every user may enter, with a secret and a worker's own file."""
    with tempfile.TemporaryDirectory(prefix="mls-") as name:
        yield Path(name)


def attempted(place: Path, level: str, user: str, *, network: bool) -> dict[str, str]:
    """What came of each attempt; an empty text: it succeeded."""
    if level != "namespaces" and "Landlock" in level and levels().landlock < LEVELS[level]["landlock"]:
        pytest.skip("an older Landlock")
    if "namespaces" in level and levels().namespaces:
        pytest.skip(levels().namespaces)
    uid = NOBODY if user == "an ordinary user" else os.getuid()
    base = Path(tempfile.mkdtemp(dir=place))
    for directory in ("secret", "own", "changed", "scratch"):
        (base / directory).mkdir()
        (base / directory / "file").write_text("s3cret")
    package = _copy_of_worker(base)
    for path in (place, base, *base.rglob("*")):
        os.chown(path, uid, uid if uid == NOBODY else -1)
        path.chmod(0o755)
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as abstract:
        listener.bind(str(base / "secret" / "listener"))
        (base / "secret" / "listener").chmod(0o666)
        listener.listen()
        abstract.bind(f"\0{base}")
        abstract.listen()
        with socket.create_server(("127.0.0.1", 0)) as tcp, _udp() as udp, _somebody(uid) as other:
            facts = {
                **{"worker": str(package), "secret": str(base / "secret" / "file"), "own": str(base / "own" / "file")},
                **{"listener": str(base / "secret" / "listener"), "abstract": str(base), "pid": other.pid},
                "model": str(base / "changed" / "file"),
                **{"tcp": tcp.getsockname()[1], "udp": udp.getsockname()[1]},
                "scratch": "/tmp" if LEVELS[level]["namespaces"] else str(base / "scratch"),
            }
            try:
                answers = _run(_plan(level, base, network=network), facts, uid)
                if LEVELS[level]["namespaces"]:
                    assert answers["changes its model's files for others"] == "", "it cannot change them for itself"
                changed = (base / "changed" / "file").read_text() != "s3cret"
                return answers | {
                    "sends by UDP": answers["sends by UDP"] or _nothing_came(udp),
                    "changes its model's files for others": "" if changed else "nobody else sees it",
                }
            finally:
                other.kill()


def _udp() -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    receiver.setblocking(False)
    return receiver


def _nothing_came(receiver: socket.socket) -> str:
    """Empty when something came."""
    try:
        return "" if receiver.recv(16) else "an empty datagram"
    except BlockingIOError:
        return "nothing came"


def _copy_of_worker(base: Path) -> Path:
    """The tree itself may be in a directory that an ordinary user cannot enter."""
    package = base / "own" / "worker"
    for source in list(WORKER_PACKAGE.rglob("*.py")):
        copy = package / source.relative_to(WORKER_PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(source.read_bytes())
    (base / "own" / "attempts.py").write_bytes(Path(attempts.__file__).read_bytes())
    return package


def _plan(level: str, base: Path, *, network: bool) -> dict[str, Any]:
    paths, links = system_view()
    return {
        **LEVELS[level],
        "network": network,
        "readable": [str(path) for path in [*paths, base / "own"]],
        "writable": [],
        "own": [str(base / "changed")],
        "devices": [],
        "links": links,
        "scratch": str(base / "scratch"),
        "tmp_bytes": 2**20,
    }


def _as(uid: int) -> dict[str, Any]:
    """Only root becomes somebody else."""
    return {} if uid == os.getuid() else {"user": uid, "group": uid, "extra_groups": []}


def _somebody(uid: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["/bin/sleep", "600"], stdout=subprocess.DEVNULL, **_as(uid))


def _run(plan: dict[str, Any], facts: dict[str, Any], uid: int) -> dict[str, str]:
    script = str(Path(facts["worker"]).parent / "attempts.py")
    command = [PYTHON, "-I", "-S", script, json.dumps(plan), json.dumps(facts)]
    done = subprocess.run(
        command,
        **_as(uid),
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert "isolation" not in answers, answers
    return dict(answers)


USERS = ["root", "an ordinary user"] if os.getuid() == 0 else ["this user"]


@pytest.mark.parametrize("network", [True, False])
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("level", LEVELS)
def test_each_level_stops_what_it_is_said_to_stop_and_no_work_of_a_model(
    place: Path, level: str, user: str, network: bool
) -> None:
    answers = attempted(place, level, user, network=network)
    succeeded = {name for name, refusal in answers.items() if not refusal}
    assert succeeded == OWN_WORK | expected(level, root=user == "root", network=network), answers


def expected(level: str, *, root: bool, network: bool) -> set[str]:
    """What a model can do at a level, besides its own work."""
    possible = set(POSSIBLE[level])
    if not network:
        possible -= {*NETWORK, *(["connects to an abstract socket"] if level == "namespaces" else [])}
    # Root without capabilities traces no process that has some, but the kernel's settings are root's files.
    of_others = {name for name in possible if name.startswith(("reads another", "reads a secret file by /proc of an"))}
    return possible - of_others if root else possible - {"changes the kernel's settings"}


def test_the_documentation_s_table_says_what_each_level_stops(place: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "sandbox.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")] for line in page.splitlines() if line.startswith("|")
    ]
    head, *body = [row for row in rows if len(row) == 1 + len(DOCUMENTED) and not row[1].startswith("-")]
    assert head[1:] == list(DOCUMENTED)
    told = {level: {row[0] for row in body if row[column] == "possible"} for column, level in enumerate(head) if column}
    assert {row[0] for row in body} == set(attempts.ATTEMPTS) - OWN_WORK
    assert {cell for row in body for cell in row[1:]} == {"stopped", "possible"}
    for level, possible in told.items():
        answers = attempted(place, level, USERS[-1], network=True)
        assert possible == {name for name, refusal in answers.items() if not refusal} - OWN_WORK, level
