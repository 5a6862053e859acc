"""Takes the server's paths and URIs out of text that models, MLflow and libraries wrote. Pure."""

from __future__ import annotations

import re

_GONE = "…"
_URI = re.compile(
    r"\b(?P<scheme>(?:mlflow-artifacts|file|sqlite|dbfs)(?=:/)|[A-Za-z][\w+.-]*(?=://)):/+"
    r"[^\s'\"`<>|)\]}]*[^\s'\"`<>|)\]}.,;:]"
)
_OF_LINES = re.compile("http|git|ssh")
_PASSWORD = re.compile(r"(?<=://)[^\s/@'\"]+@")
_QUOTED = re.compile(r"(?P<quote>['\"`])(?:~?/|[A-Za-z]:\\)(?:[^'\"`\n]*[/\\])?(?P<name>[^'\"`\n/\\]+)[/\\]?(?P=quote)")
_BARE = re.compile(r"(?<![\w.\-/:~])~?/(?:[^\s/'\"`<>|:;,()\[\]{}=]+/)+(?P<name>[^\s/'\"`<>|:;,()\[\]{}]*)")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\\\s'\"]+\\+)*(?P<name>[^\\\s'\"]*)")


def without_places(text: str) -> str:
    """The text with ``…`` for URIs, and with the name alone for paths that begin at the root.

    ``runs:/`` and ``models:/`` stay: these name what a user made, and not where the server keeps it. So do paths
    within a model.
    """
    return _without_paths(_URI.sub(_GONE, text))


def without_server(text: str) -> str:
    """As ``without_places``, but ``http``, ``git`` and ``ssh`` stay, without passwords: reasons of ours name lines of
    requirements.
    """
    text = _URI.sub(lambda uri: uri[0] if _OF_LINES.search(uri["scheme"]) else _GONE, _PASSWORD.sub("", text))
    return _without_paths(text)


def _without_paths(text: str) -> str:
    text = _QUOTED.sub(lambda path: f"{path['quote']}{path['name']}{path['quote']}", text)
    for pattern in (_BARE, _WINDOWS):
        text = pattern.sub(lambda path: path["name"] or _GONE, text)
    return text
