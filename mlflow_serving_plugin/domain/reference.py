"""References: what follows ``models:/`` in an MLflow model URI, as it stands in a scoring URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from mlflow_serving_plugin.errors import NotFoundError

TRAFFIC, ENTITY, NAMED = "traffic", "entity", "named"


@dataclass(frozen=True, slots=True)
class Reference:
    """A name of what is served. ``kind``: ``version``, ``stage``, ``alias`` or ``latest`` of a registered model, by its
    ``name``; ``traffic`` (of which the split decides) or ``entity`` of a serving endpoint; ``named``: whichever
    of them has the name.
    """

    name: str
    kind: str
    value: str

    @property
    def of_serving_endpoint(self) -> bool:
        """Whether ``name`` is that of a serving endpoint, and not of a registered model."""
        return self.kind in (TRAFFIC, ENTITY)

    def __str__(self) -> str:
        separator = "@" if self.kind == "alias" else "/"
        return f"{self.name}{separator}{self.value}"


IN_BODY = Reference("", "body", "")
"""Of a path that names no model: the request's body does."""

NO_MODEL = Reference("", "none", "")
"""Of a path that is about the server."""


def reference_in(model: str) -> Reference:
    """The reference in a body's field ``model``: ``iris`` (the newest version that is ready), ``iris/3``,
    ``iris/Production``, ``iris@champion``, each also after ``models:/``. NotFoundError.
    """
    segments = model.removeprefix("models:/").split("/")
    if len(segments) == 1 and segments[0] and "@" not in segments[0]:
        return Reference(segments[0], "latest", "latest")
    return parse_reference(segments)


def parse_reference(segments: list[str]) -> Reference:
    """Read the (percent-decoded) path segments between ``/model/`` and the action.

    ``["iris", "3"]``, ``["iris", "Production"]``, ``["iris", "latest"]`` or ``["iris@champion"]``.
    Raises NotFoundError for anything else, naming the forms that exist.
    """
    if len(segments) == 2 and all(segments):
        name, value = segments
        if value.isascii() and value.isdigit():
            return Reference(name, "version", str(int(value)) if len(value) < 19 else value)
        if value.lower() == "latest":
            return Reference(name, "latest", "latest")
        return Reference(name, "stage", value)
    if len(segments) == 1 and "@" in segments[0]:
        name, _, alias = segments[0].rpartition("@")
        if name and alias:
            return Reference(name, "alias", alias)
    name = quote(segments[0]) if len(segments) == 1 and segments[0] and "@" not in segments[0] else "<name>"
    raise NotFoundError(
        f"This path names no model version. Use /model/{name}/<version>/invocations, "
        f"/model/{name}/<stage>/invocations, /model/{name}@<alias>/invocations, "
        f"or /model/{name}/latest/invocations for the newest version that is ready."
    )
