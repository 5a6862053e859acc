"""The Ray cluster of a server whose workers run there; nothing to say of other servers."""

from __future__ import annotations

import importlib.util
import socket
from collections.abc import Iterator

from mlflow_serving_plugin.backends.ray_nodes import head_of
from mlflow_serving_plugin.backends.ray_survey import Survey, survey
from mlflow_serving_plugin.diagnosis.base import ERROR, OK, WARNING, Finding, Place

_AREA = "ray"
_HEAD_S = 5.0
_SURVEY_S = 20.0
_START = "Start it with 'ray start --head' on its host, or correct MLFLOW_SERVING_RAY_ADDRESS."


def ray(place: Place) -> Iterator[Finding]:
    """The package, the head, and what each node is good for."""
    if place.settings.backend != "ray":
        return
    if importlib.util.find_spec("ray") is None:
        advice = "Install it into the server's environment: pip install 'mlflow-serving-plugin[ray]'"
        yield Finding(_AREA, "package", ERROR, "ray is not installed", advice)
        return
    if head := head_of(place.settings.ray_address):
        try:
            socket.create_connection(head, _HEAD_S).close()
        except OSError:
            yield Finding(_AREA, "head", ERROR, "The head of the Ray cluster accepts no connections.", _START)
            return
    yield from told(survey(place.settings.ray_address, _SURVEY_S))


def told(found: Survey) -> Iterator[Finding]:
    """The findings about a cluster that was asked."""
    if found.why:
        yield Finding(_AREA, "cluster", ERROR, f"The Ray cluster cannot be used: {found.why}.", _START)
        return
    yield Finding(_AREA, "cluster", OK, "joined")
    advice = "Install there the Python and the mlflow-serving-plugin[ray] of the server."
    for sentence in found.unfit:
        yield Finding(_AREA, "node", WARNING, sentence, advice)
    if found.fit:
        yield Finding(_AREA, "nodes", OK, f"{len(found.fit)} can run workers")
    else:
        yield Finding(_AREA, "nodes", ERROR, "No node can run workers.", advice)
