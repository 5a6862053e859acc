"""Requirements files as pip and uv know them, read line by line. Pure but for reading files of the model itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from mlflow_serving_plugin.errors import ServingError

_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = re.compile(r"^(?:-r|--requirement|-c|--constraint)(?:[\s=]+)(.+)$")
_CONSTRAINT = re.compile(r"^(-c|--constraint)\b")
_PATH_LIKE = re.compile(r"^(?!.*://)(?!.*\s@\s).*(/|\.whl$|\.tar\.gz$|\.zip$)")
_DEEPEST = 5


class RequirementsError(ServingError):
    """The model's requirements cannot be read; the message names the file or line."""


def read_requirements(model_dir: Path, name: str, depth: int = 0) -> tuple[list[str], list[str]]:
    """The requirements (and option lines) of one of the model's files, and its constraints; ``-r`` is followed.

    RequirementsError for a file that is not there or lies outside the model.
    """
    path = (model_dir / name).resolve()
    if not path.is_relative_to(model_dir.resolve()):
        raise RequirementsError(f"The model's requirements name {name!r}, which lies outside the model.")
    if depth > _DEEPEST:
        raise RequirementsError(f"The model's requirements files include each other: {name!r}.")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise RequirementsError(f"The model's requirements name {name!r}, which cannot be read.") from None
    directory = path.parent.relative_to(model_dir.resolve())
    return split_lines(model_dir, logical_lines(text), str(directory), depth)


def split_lines(
    model_dir: Path, lines: Iterable[str], directory: str = ".", depth: int = 0
) -> tuple[list[str], list[str]]:
    """Requirements and constraints from lines; those that include a file give that file's."""
    requirements: list[str] = []
    constraints: list[str] = []
    for line in lines:
        included = _INCLUDE.match(line)
        if included is None:
            requirements.append(line)
            continue
        inner, inner_constraints = read_requirements(model_dir, str(Path(directory) / included.group(1)), depth + 1)
        (constraints if _CONSTRAINT.match(line) else requirements).extend(inner)
        constraints.extend(inner_constraints)
    return requirements, constraints


def logical_lines(text: str) -> Iterator[str]:
    """Lines without comments; one that ends in a backslash goes on in the next."""
    for line in text.replace("\\\n", " ").splitlines():
        bare = _COMMENT.sub("", line).strip()
        if bare:
            yield " ".join(bare.split())


def parsed(line: str) -> Requirement | None:
    """The line as a requirement by name; None for an option, a path or a bare URL."""
    try:
        # Hashes are for the installer; what is asked for stands before them.
        return Requirement(line.partition(" --hash")[0].strip())
    except InvalidRequirement:
        return None


def named(lines: Iterable[str]) -> dict[str, str]:
    """Canonical project name → line, for all lines that name one."""
    found: dict[str, str] = {}
    for line in lines:
        requirement = parsed(line)
        if requirement is not None:
            found[canonicalize_name(requirement.name)] = line
    return found


def identity(model_dir: Path, line: str) -> str:
    """What a line stands for in the key of an environment: a file of the model by its content, all else by itself."""
    words = line.split()
    path = model_dir / words[-1]
    if _PATH_LIKE.match(line) and path.is_file() and path.resolve().is_relative_to(model_dir.resolve()):
        return f"{' '.join(words[:-1])} {path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}".strip()
    return line
