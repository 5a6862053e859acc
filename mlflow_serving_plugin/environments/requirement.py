"""Single lines of a requirements file, as pip reads them. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

_TRUSTED = re.compile(r"^--trusted-host[\s=]+(\S+)$")


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


def applies(requirement: Requirement, python: str) -> bool:
    """Whether the requirement's marker holds on this machine for a minor version of Python."""
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def is_exact(specifier: SpecifierSet) -> bool:
    """Whether the specifier admits one version only."""
    return any(s.operator in {"==", "==="} and not s.version.endswith(".*") for s in specifier)


def for_uv(lines: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The lines that uv reads from a file, and the words of its command line for options that it takes only there."""
    kept: list[str] = []
    words: list[str] = []
    for line in lines:
        if trusted := _TRUSTED.match(line):
            words += ["--allow-insecure-host", trusted.group(1)]
        elif line == "--pre":
            words += ["--prerelease", "allow"]
        else:
            kept.append(line)
    return tuple(kept), tuple(words)
