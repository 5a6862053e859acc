"""Which Python versions a model may run on, the best one first. Pure."""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from packaging.specifiers import SpecifierSet
from packaging.version import Version

OLDEST = "3.8"
"""The oldest Python that a worker's code runs on, under any runtime."""

_MINORS = tuple(f"3.{minor}" for minor in range(6, 21))
_LAST_PATCH = 30
_MINOR = re.compile(r"(\d+\.\d+)")


def minor_of(text: object) -> str | None:
    """``3.11`` of ``3.11.7`` and of ``python=3.11.7``; None when there is no such number."""
    found = _MINOR.search(str(text)) if text else None
    # In YAML ``python: 3.10`` without quotes is the number 3.1.
    return (found.group(1) if found.group(1) != "3.1" else "3.10") if found else None


def is_range(alternatives: Sequence[str]) -> bool:
    """Whether more than one minor version fits."""
    return sum(fits(minor, alternatives) for minor in _MINORS) > 1


def fits(minor: str, alternatives: Sequence[str]) -> bool:
    """Whether some release of a minor version is in one of the alternatives, which are PEP 440 specifiers."""
    return any(_admits(alternative, minor) for alternative in alternatives)


@functools.lru_cache(maxsize=1024)
def _admits(alternative: str, minor: str) -> bool:
    releases = [Version(f"{minor}.{patch}") for patch in range(_LAST_PATCH + 1)]
    return any(SpecifierSet(alternative).filter(releases))


def candidates(alternatives: Sequence[str], *, logged: str | None, server: str) -> tuple[str, ...]:
    """The minor versions to try for a range, in order: the one that the model was logged with, because pickles depend
    on it, then the server's, which is there; when that does not fit, the others, those near the server's first.
    """
    nearest = sorted(_MINORS, key=lambda minor: abs(_number(minor) - _number(server)))
    fitting = [m for m in dict.fromkeys((logged, server, *nearest)) if m is not None and fits(m, alternatives)]
    # What no worker can run on is a candidate only when there is no other.
    fitting = [m for m in fitting if not too_old(m)] or fitting
    return tuple(fitting[: fitting.index(server) + 1] if server in fitting else fitting)


def too_old(minor: str) -> bool:
    """Whether no worker can run on this Python."""
    return _key(minor) < _key(OLDEST)


def _key(minor: str) -> tuple[int, ...]:
    return tuple(map(int, minor.split(".")))


def _number(minor: str) -> int:
    return _key(minor)[1]
