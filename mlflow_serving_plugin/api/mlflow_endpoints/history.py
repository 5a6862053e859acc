"""What happened: events, and the logs of versions."""

from __future__ import annotations

import codecs
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlflow_serving_plugin.api import requests, shapes
from mlflow_serving_plugin.api.mlflow_endpoints.context import Context
from mlflow_serving_plugin.api.requests import current_workspace, page_of, read_fields
from mlflow_serving_plugin.errors import NotFoundError

LONGEST_READ_BYTES = 1024 * 1024
TAIL_BYTES = 256 * 1024


def get_version_logs(context: Context) -> dict[str, Any]:
    """The output of the version's workers from byte ``offset`` on; without ``offset``, the end."""
    fields = read_fields(requests.LOGS)
    served, version = context.version(fields)
    replica = fields.get("replica_id")
    # The workers of a version share its log.
    if replica and replica not in {worker.worker_id for worker in version.workers}:
        raise NotFoundError(f"Version {version.name} has no such replica.")
    path = context.deps.paths.entity_log(served.endpoint.id, version.name)
    return asdict(read_log(path, fields.get("offset")))


def get_version_build_logs(context: Context) -> dict[str, Any]:
    """The build log of the version's environment from byte ``offset`` on; without ``offset``, the end."""
    fields = read_fields(requests.LOGS)
    _, version = context.version(fields)
    if version.build_log is None:
        none_built = f"No environment was built: the version runs in {version.environment}.\n"
        return asdict(LogPiece(none_built if version.environment else ""))
    return asdict(read_log(Path(version.build_log), fields.get("offset")))


def get_event_history(context: Context) -> dict[str, Any]:
    """A page of events, newest first."""
    fields = read_fields(requests.EVENTS)
    name, version = fields["registered_model_name"], fields.get("endpoint_version_name")
    caller, workspace = context.caller(), current_workspace()
    page = context.endpoints.events(caller, workspace, name, version=version, **page_of(fields))
    return shapes.event_page(page, shapes.event)


@dataclass(frozen=True, slots=True)
class LogPiece:
    """A piece of a log. ``offset``: where the piece begins; ``next_offset``: where to read on; all in bytes."""

    logs: str
    offset: int = 0
    next_offset: int = 0
    total_bytes: int = 0
    """The size of the whole log."""


def read_log(path: Path, offset: int | None, *, tail_bytes: int = TAIL_BYTES) -> LogPiece:
    """The text from byte ``offset`` on, at most 1 MB.

    ``offset`` None: the last ``tail_bytes``, from the first line that begins there. An offset beyond the end means
    that the file was rotated: read from the start. Neither end splits a character. A missing file is empty.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            start = max(0, size - tail_bytes) if offset is None else offset
            start = 0 if start > size else start
            file.seek(start)
            data = file.read(LONGEST_READ_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return LogPiece("")
    if offset is None and start > 0:
        cut = data.find(b"\n", 0, -1) + 1 or _continuation_bytes(data)
        start, data = start + cut, data[cut:]
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(data)
    unfinished = len(decoder.getstate()[0])
    return LogPiece(text, start, start + len(data) - unfinished, max(size, start + len(data)))


def _continuation_bytes(data: bytes) -> int:
    """The number of bytes at the start that belong to a character that began before."""
    return next((i for i, byte in enumerate(data[:3]) if byte & 0xC0 != 0x80), 0)
