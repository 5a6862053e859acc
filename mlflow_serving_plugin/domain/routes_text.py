"""The routes snapshot as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import TypeAdapter

from mlflow_serving_plugin.domain.routes import FORMAT, Routes


class OtherFormatError(ValueError):
    """The snapshot was written by another version of this package."""


@dataclass(frozen=True, slots=True)
class _AnyFormat:
    """What the snapshots of all formats have."""

    format: int


_any_format, _routes = TypeAdapter(_AnyFormat), TypeAdapter(Routes)


def dump_routes(routes: Routes) -> bytes:
    """The snapshot as JSON."""
    return _routes.dump_json(routes)


def load_routes(data: bytes) -> Routes:
    """The snapshot from JSON; ValueError when it is damaged, OtherFormatError when it is of another format."""
    found = _any_format.validate_json(data).format
    if found != FORMAT:
        raise OtherFormatError(f"routes snapshot of format {found}, expected {FORMAT}")
    return _routes.validate_json(data)
