"""Turns an installer's last output into one sentence that names the requirement and the problem. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LONGEST = 500
_FRAME = re.compile(r"^[^\w`'\"(]+")
"""What uv draws before a line to group lines."""

_CAUSE = re.compile(r"^\s*(?:error|cause)\s*:\s*(?P<text>\S.*)$", re.IGNORECASE)
_FAILED_BUILD = re.compile(r"Failed to (?:build|download and build|download|prepare) `?([^`\s]+)`?")
_PY_ERROR = re.compile(r"^\s*((?:[A-Za-z_][\w.]*\.)?[A-Z]\w*(?:Error|Exception)\b.*)")
_COMPILER = re.compile(r"^\s*((?:error|fatal error): .*|.*: (?:fatal )?error: .*)")
_PIP = re.compile(
    r"ERROR: (?:No matching distribution found for|Could not find a version that satisfies the requirement) (\S+)"
)
_NO_WHEEL = re.compile(r"Because (\S+) has no (?:usable wheels|wheels with a matching Python[\w -]*tag)")
_MISSING = re.compile(r"Because (\S+) was not found in the (?:package registry|provided package locations|cache)")
_NO_VERSION = re.compile(r"Because there (?:is|are) no versions? of (\S+)")
_NO_PYTHON = re.compile(r"No interpreter found for Python (\S+)|Failed to download \S*python-build-standalone")
_NETWORK = re.compile(
    r"(Failed to fetch|Connection refused|dns error|error sending request|Temporary failure in name|Could not connect)",
    re.IGNORECASE,
)
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error 28")


def explain(tail: Sequence[str], python: str, *, offline: bool = False) -> str:
    """Why an environment could not be built. ``tail``: the build log's last lines; ``python``: its minor version."""
    text = "\n".join(tail)
    if _DISK_FULL.search(text):
        return "The environment could not be built: no space left on the disk."
    if found := _NO_PYTHON.search(text):
        fetched = "may not" if offline else "could not"
        return (
            f"The model asks for Python {found.group(1) or python}, which is not on this machine and {fetched} be "
            "downloaded. Install it there: on PATH, with pyenv or with uv."
        )
    if (words := _resolver_words(text)) is not None:
        return _shorten(_resolution(words, python))
    if found := _FAILED_BUILD.search(text):
        return _shorten(_failed_build(found.group(1), tail, python))
    if found := _PIP.search(text):
        return f"{found.group(1)} was not found for Python {python}."
    return _shorten(_last_error(tail))


def _resolver_words(text: str) -> str | None:
    """What the resolver says, on one line, without its conclusion."""
    start = text.find("Because ")
    if "No solution found" not in text or start < 0:
        return None
    words = text[start:].split("\n\n", maxsplit=1)[0].split("\nhint:", maxsplit=1)[0]
    return " ".join(_FRAME.sub("", line).strip() for line in words.splitlines()).strip()


def _resolution(words: str, python: str) -> str:
    if found := _NO_WHEEL.match(words):
        return f"{found.group(1)} has no wheel for Python {python}. The resolver: {_cut(words)}"
    if found := _MISSING.match(words):
        wanted = re.search(rf"you require ({re.escape(found.group(1))}\S*?),?(?:\s|$)", words)
        name = wanted.group(1) if wanted else found.group(1)
        return f"{name} is not in the package index. The resolver: {_cut(words)}"
    if found := _NO_VERSION.match(words):
        return f"{found.group(1)} does not exist. The resolver: {_cut(words)}"
    return f"The requirements contradict each other. The resolver: {_cut(words)}"


def _cut(words: str) -> str:
    """The words without the resolver's conclusion, which only repeats that the requirements cannot be met."""
    conclusion = words.find(", we can conclude")
    return words if conclusion < 0 else words[:conclusion] + "."


def _failed_build(requirement: str, tail: Sequence[str], python: str) -> str:
    errors = [m.group(1).strip() for line in tail if (m := _PY_ERROR.match(line) or _COMPILER.match(line))]
    errors = [error for error in errors if "Failed to build" not in error and "subprocess" not in error.lower()]
    printed = f" Last output of its build: {errors[-1]}" if errors else ""
    network = " The index could not be reached." if not errors and any(_NETWORK.search(line) for line in tail) else ""
    name = requirement.replace("@", "==")
    return f"{name} has no wheel for Python {python}, and could not be built from source.{printed}{network}"


def _last_error(tail: Sequence[str]) -> str:
    if any(_NETWORK.search(line) for line in tail):
        line = next(line for line in tail if _NETWORK.search(line))
        return f"The package index could not be reached: {line.strip().removeprefix('error: ')}"
    for line in reversed(tail):
        if found := _CAUSE.match(line):
            return f"The environment could not be built: {found.group('text')}"
    last = next((line.strip() for line in reversed(tail) if line.strip()), "")
    return f"The environment could not be built: {last or 'the installer printed nothing'}"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
