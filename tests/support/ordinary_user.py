"""``python ordinary_user.py <command> …``, as root: runs a command as a user who owns nothing.

Python may stand where only root may look, such as in /root. In a mount namespace of the command's own, such a directory
shows nothing but the way to Python and to this tree.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from mlflow_serving_plugin.worker.isolation import calls

NOBODY = 65534
TREE = Path(__file__).parents[2]


def main(command: list[str]) -> None:
    """Become the command."""
    calls.unshare(calls.CLONE_NEWNS)
    calls.mount("none", "/", None, calls.MS_REC | calls.MS_PRIVATE)
    needed = {Path(path).resolve() for path in (sys.prefix, sys.base_prefix, TREE)}
    for closed in {found for path in needed if (found := closed_above(path)) is not None}:
        open_the_way(closed, [path for path in needed if path.is_relative_to(closed)])
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    os.execvp(command[0], command)


def closed_above(path: Path) -> Path | None:
    """The topmost directory on the way to a path that others may not enter."""
    return next((above for above in reversed(path.parents) if not above.stat().st_mode & 0o001), None)


def open_the_way(closed: Path, inside: list[Path]) -> None:
    """Mount a directory over ``closed`` that has only these directories, at their places."""
    held = {path: tempfile.mkdtemp() for path in inside}
    for path, place in held.items():
        calls.mount(str(path), place, None, calls.MS_BIND | calls.MS_REC)
    calls.mount("tmpfs", str(closed), "tmpfs", calls.MS_NOSUID, "mode=0755")
    for path, place in held.items():
        path.mkdir(parents=True, exist_ok=True)
        calls.mount(place, str(path), None, calls.MS_BIND | calls.MS_REC)
        calls.detach(place)
        Path(place).rmdir()


if __name__ == "__main__":
    main(sys.argv[1:])
