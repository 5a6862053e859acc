"""Turns an installer's last output into one sentence that names the requirement and the problem. Pure."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from mlflow_serving_plugin.environments.conda_specs import conda_name

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
_NO_WHEEL = re.compile(
    r"Because (?:only \S+ is available and )?(\S+) has no (?:usable wheels|wheels with a matching [\w -]*tag)"
)
_MISSING = re.compile(r"Because (\S+) was not found in the (?:package registry|provided package locations|cache)")
_NO_VERSION = re.compile(r"Because there (?:is|are) no versions? of (\S+)")
_NO_PYTHON = re.compile(r"No interpreter found for Python (\S+)|Failed to download \S*python-build-standalone")
_NETWORK = re.compile(
    r"(Failed to fetch|Connection refused|dns error|error sending request|Temporary failure in name|Could not connect)",
    re.IGNORECASE,
)
_FILES = (
    (re.compile(r"Hash mismatch for `([^`]+)`"), "{0}: the file's hash is not the one that the model names."),
    (
        re.compile(r"A (?:path|URL) \(([^)]+)\) dependency is incompatible with the current platform"),
        "{0} is not for Python {python} on {platform}.",
    ),
    (re.compile(r"Distribution not found at: (?:file:)?/\S*?([^/\s]+)(?=\s|$)"), "{0} is not on the server's machine."),
    (re.compile(r"Distribution not found at: (\S+)"), "{0} is not in the model."),
)
_NOT_FETCHED = re.compile(r"Failed to download `([^`]+ @ [^`]+)`")
_GIT_NAMED = re.compile(r"Failed to download and build `([^`]*git\+[^`]+)`")
_GIT_URL = re.compile(r"^\s*Updating (\S+) \((\S+)\)$", re.MULTILINE)
_GIT_SAID = re.compile(r"--- stderr\n\s*(?:(?:fatal|error|remote|ERROR): )*([^\n]+)")
_CERTIFICATE = re.compile(r"invalid peer certificate: (\S+)")
_URL = re.compile(r"https?://(?P<host>[^/\s`'\"]+)")
_CONDA_MISSING = re.compile(r"No candidates were found for ([^\s.]+)")
_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|os error 28")
_PLATFORM = {"darwin": "macOS"}.get(sys.platform, "Linux")


def is_disk_full(tail: Sequence[str]) -> bool:
    """Whether an installer's last lines say that the disk is full."""
    return _DISK_FULL.search("\n".join(tail)) is not None


def explain(tail: Sequence[str], python: str, *, offline: bool = False, asked: Sequence[str] = ()) -> str:
    """Why an environment could not be built. ``tail``: the installer's last lines, with paths that start at the model;
    ``python``: its minor version; ``asked``: the requirements.
    """
    text = "\n".join(tail)
    return _shorten(
        _of_the_machine(text, python, offline)
        or _of_a_file(text, python)
        or _of_the_resolver(text, python, asked)
        or _of_a_build(text, tail, python)
        or _last_error(tail)
    )


def explain_conda(tail: Sequence[str], packages: Sequence[str], channels: Sequence[str]) -> str:
    """Why conda's solver could not make an environment of ``packages``, which conda.yaml names, from ``channels``."""
    text = "\n".join(tail)
    where = f"the channel{'s' if len(channels) > 1 else ''} {', '.join(channels)}"
    if found := _CONDA_MISSING.search(text):
        name = found.group(1)
        line = next((p for p in packages if conda_name(p) == name), name)
        said = f"conda.yaml's '{line}' is not in {where}."
    elif _NETWORK.search(text):
        said = f"conda.yaml's '{', '.join(packages)}' could not be had: {where} could not be reached."
    else:
        said = f"conda.yaml's '{', '.join(packages)}' could not be had from {where}: {_last_cause(tail)}"
    return _shorten(f"{said} Set env_manager to uv to take from PyPI what PyPI has, and to leave out the rest.")


def _of_the_machine(text: str, python: str, offline: bool) -> str:
    if is_disk_full([text]):
        return "The environment could not be built: no space left on the disk."
    if found := _NO_PYTHON.search(text):
        fetched = "may not" if offline else "could not"
        return (
            f"The model asks for Python {found.group(1) or python}, which is not on this machine and {fetched} be "
            "downloaded. Install it there: on PATH, with pyenv or with uv."
        )
    return ""


def _of_a_file(text: str, python: str) -> str:
    """About one file or repository that the requirements name; empty when the installer speaks of something else."""
    if "Git operation failed" in text:
        return _git(text)
    if found := _CERTIFICATE.search(text):
        host = _URL.search(text)
        name = host.group("host").rpartition("@")[2] if host else "the package index"
        return (
            f"The certificate of {name} is not trusted ({found.group(1).partition('(')[0]}): set SSL_CERT_FILE on the "
            f"server, or name the host with --trusted-host in the model's requirements."
        )
    if found := _NOT_FETCHED.search(text):
        return f"{found.group(1)} could not be fetched: {_last_cause(text.splitlines())}."
    for pattern, sentence in _FILES:
        if found := pattern.search(text):
            return sentence.format(found.group(1), python=python, platform=_PLATFORM)
    return ""


def _git(text: str) -> str:
    line, url, said = _GIT_NAMED.search(text), _GIT_URL.search(text), _GIT_SAID.search(text)
    if line:
        name = line.group(1)
    elif url:
        name = f"git+{url.group(1)}" + (f"@{url.group(2)}" if url.group(2) != "HEAD" else "")
    else:
        name = "A git repository"
    if said is None:
        why = "the server has no git" if "Git executable not found" in text else "git failed; see the build log"
    else:
        why = said.group(1).strip().rstrip(".")
    return f"{name} could not be fetched: {why}."


def _of_the_resolver(text: str, python: str, asked: Sequence[str]) -> str:
    words = _resolver_words(text)
    return _resolution(words, python, asked) if words is not None else ""


def _resolver_words(text: str) -> str | None:
    """What the resolver says, on one line, without its conclusion."""
    start = text.find("Because ")
    if "No solution found" not in text or start < 0:
        return None
    words = text[start:].split("\n\n", maxsplit=1)[0].split("\nhint:", maxsplit=1)[0]
    return " ".join(_FRAME.sub("", line).strip() for line in words.splitlines()).strip()


def _resolution(words: str, python: str, asked: Sequence[str]) -> str:
    if found := _NO_WHEEL.match(words):
        if file := _wheel_of(found.group(1), asked):
            return f"{file} is not for Python {python} on {_PLATFORM}."
        return f"{found.group(1)} has no wheel for Python {python}. The resolver: {_cut(words)}"
    if found := _MISSING.match(words):
        wanted = re.search(rf"you require ({re.escape(found.group(1))}\S*?),?(?:\s|$)", words)
        name = wanted.group(1) if wanted else found.group(1)
        return f"{name} is not in the package index. The resolver: {_cut(words)}"
    if found := _NO_VERSION.match(words):
        return f"{found.group(1)} does not exist. The resolver: {_cut(words)}"
    return f"The requirements contradict each other. The resolver: {_cut(words)}"


def _wheel_of(project: str, asked: Sequence[str]) -> str | None:
    """The wheel, as the requirements name it, of a project that the resolver speaks of as ``x==1.0``."""
    name, _, version = project.partition("==")
    start = f"{name.replace('-', '_')}-{version}-".lower()
    words = (word for line in asked for word in line.split())
    return next((word for word in words if word.rpartition("/")[2].lower().startswith(start)), None)


def _cut(words: str) -> str:
    """The words without the resolver's conclusion, which only repeats that the requirements cannot be met."""
    conclusion = words.find(", we can conclude")
    return words if conclusion < 0 else words[:conclusion] + "."


def _of_a_build(text: str, tail: Sequence[str], python: str) -> str:
    if found := _FAILED_BUILD.search(text):
        return _failed_build(found.group(1), tail, python)
    found = _PIP.search(text)
    return f"{found.group(1)} was not found for Python {python}." if found else ""


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
    return f"The environment could not be built: {_last_cause(tail)}"


def _last_cause(tail: Sequence[str]) -> str:
    for line in reversed(tail):
        if found := _CAUSE.match(line):
            return found.group("text")
    return next((line.strip() for line in reversed(tail) if line.strip()), "") or "the installer printed nothing"


def _shorten(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
