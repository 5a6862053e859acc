"""The last requests of a serving endpoint whose shadow answered otherwise: a file for each endpoint and host.

They hold what callers sent. So they are readable by the server's user only, in few, and gone with the endpoint.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mlflow_serving_plugin.host.files import write_atomically

_logger = logging.getLogger(__name__)

MOST = 100
_LONGEST = 16 * 1024
"""Characters of a body that are kept."""
_LOCK_S = 2.0
_LARGEST_BYTES = 64 * 1024 * 1024


def text_of(body: bytes) -> str | None:
    """A body as it is kept: its first part where it is long, None where it is no text."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def keep(directory: Path, endpoint_id: str, found: Iterable[dict[str, Any]]) -> None:
    """Add differences, and forget all but the last ``MOST``. What cannot be written is left out."""
    path = _path(directory, endpoint_id)
    try:
        directory.mkdir(mode=0o700, exist_ok=True)
        with FileLock(path.with_suffix(".lock"), timeout=_LOCK_S):
            kept = [*read(directory, endpoint_id), *found][-MOST:]
            write_atomically(path, b"".join(json.dumps(item).encode() + b"\n" for item in kept))
    except (OSError, Timeout) as error:
        _logger.info("Differences of a shadow are not kept: %s", error)


def read(directory: Path, endpoint_id: str) -> list[dict[str, Any]]:
    """The differences that are kept, oldest first."""
    try:
        with _path(directory, endpoint_id).open("rb") as file:
            lines = file.read(_LARGEST_BYTES).splitlines()
        return [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []


def forget_others(directory: Path, endpoint_ids: Collection[str]) -> None:
    """Remove the differences of all endpoints but these."""
    for path in directory.glob("*.*"):
        if path.name.partition(".")[0] not in endpoint_ids:
            path.unlink(missing_ok=True)


def _path(directory: Path, endpoint_id: str) -> Path:
    return directory / f"{endpoint_id}.jsonl"
