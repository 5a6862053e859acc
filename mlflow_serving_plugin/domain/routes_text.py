"""The routes snapshot as JSON, with a line of its own for each endpoint and its entities.

    {"format":6,"written_ms":1700000000000,"lines":[
    {"stamp":"7c0a34d100000001","key":"default/iris","endpoint":{…},"entities":[…]},
    null]}

A line has a stamp, which a changed line does not keep. So a change of one of a thousand models costs the writer and
each reader that line: all other lines are taken over by their stamps.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace

from pydantic import TypeAdapter

from mlflow_serving_plugin.domain.routes import FORMAT, EndpointRoute, EntityRoute, Routes
from mlflow_serving_plugin.domain.shared import thrifty_endpoint, thrifty_entity

_FIRST = re.compile(rb'\{"format": ?(\d+), ?"written_ms": ?(\d+)')
_LAST = b"null]}"
_STAMP = slice(len('{"stamp":"'), len('{"stamp":"') + 16)


class OtherFormatError(ValueError):
    """The snapshot was written by another version of this package."""


@dataclass(frozen=True, slots=True)
class _Line:
    """``endpoint`` None: the endpoint is disabled, and its entities drain."""

    stamp: str
    key: str
    endpoint: EndpointRoute | None
    entities: tuple[EntityRoute, ...]


_line = TypeAdapter(_Line)


class RoutesWriter:
    """Writes one snapshot after the other."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(4)
        self._count = 0
        self._lines: dict[str, tuple[tuple[object, ...], bytes]] = {}
        """By an endpoint's id: what the line says, and the line."""

    def lines(self, routes: Routes) -> list[bytes]:
        """The lines of a snapshot, those that say the same as before as they were."""
        entities: dict[str, list[EntityRoute]] = {}
        for entity in routes.entities.values():
            entities.setdefault(entity.key.endpoint_id, []).append(entity)
        parts: list[tuple[str, EndpointRoute | None, list[EntityRoute]]] = [
            (key, endpoint, entities.pop(endpoint.id, [])) for key, endpoint in routes.endpoints.items()
        ]
        parts += [("", None, left) for left in entities.values()]
        before, self._lines = self._lines, {}
        for key, endpoint, some in parts:
            id_, says = some[0].key.endpoint_id if endpoint is None else endpoint.id, (key, endpoint, *some)
            known = before.get(id_)
            self._lines[id_] = known if known and known[0] == says else (says, self._dump(key, endpoint, some))
        first = b'{"format":%d,"written_ms":%d,"lines":[\n' % (FORMAT, routes.written_ms)
        return [first, *(line for _, line in self._lines.values()), _LAST]

    def _dump(self, key: str, endpoint: EndpointRoute | None, entities: list[EntityRoute]) -> bytes:
        self._count += 1
        return _line.dump_json(_Line(f"{self._run}{self._count:08x}", key, endpoint, tuple(entities))) + b",\n"


class RoutesReader:
    """Reads one snapshot after the other."""

    def __init__(self) -> None:
        self._known: dict[bytes, _Line] = {}

    def load(self, lines: Iterable[bytes]) -> Routes:
        """The snapshot, lines known before as they were; ValueError when the snapshot is damaged, OtherFormatError
        when it is of another format."""
        rest = iter(lines)
        first = _FIRST.match(next(rest, b""))
        if first is None:
            raise ValueError("the routes snapshot does not begin as one")
        if int(first[1]) != FORMAT:
            raise OtherFormatError(f"routes snapshot of format {int(first[1])}, expected {FORMAT}")
        known: dict[bytes, _Line] = {}
        routes = Routes(written_ms=int(first[2]))
        for line in rest:
            if line == _LAST:
                self._known = known
                return routes
            stamp = line[_STAMP]
            found = known[stamp] = self._known.get(stamp) or _load(line)
            if found.endpoint is not None:
                routes.endpoints[found.key] = found.endpoint
            for entity in found.entities:
                routes.entities[str(entity.key)] = entity
        raise ValueError("the routes snapshot has no end")


def _load(text: bytes) -> _Line:
    line = _line.validate_json(text[:-2])
    endpoint = line.endpoint and thrifty_endpoint(line.endpoint)
    return replace(line, endpoint=endpoint, entities=tuple(map(thrifty_entity, line.entities)))


def dump_routes(routes: Routes) -> bytes:
    """A snapshot by itself."""
    return b"".join(RoutesWriter().lines(routes))


def load_routes(data: bytes) -> Routes:
    """A snapshot by itself; ValueError, OtherFormatError."""
    return RoutesReader().load(data.splitlines(keepends=True))
