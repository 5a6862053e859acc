"""The changelog by fragments: the files of ``changelog.d``, and what a release makes of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import mlflow_serving_plugin

ROOT = Path(__file__).parents[3]
KINDS = re.findall(r'directory = "(\w+)", name', (ROOT / "pyproject.toml").read_text())
VERSION = mlflow_serving_plugin.__version__


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the commands need, without fragments."""
    for name in ("scripts", "changelog.d"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("*.*.md"))
    (tmp_path / "mlflow_serving_plugin").mkdir()
    for name in ("CHANGELOG.md", "pyproject.toml", "mlflow_serving_plugin/__init__.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def run(tree: Path, *command: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {**os.environ, "PATH": path}
    return subprocess.run(command, cwd=tree, env=environ, capture_output=True, text=True, check=False)


def test_every_fragment_has_a_kind_and_says_something():
    for file in (ROOT / "changelog.d").glob("*.md"):
        if file.name != "README.md":
            assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(KINDS)})\.md", file.name), file.name
            assert re.search(r"^\w|^`", file.read_text()), f"{file.name} is empty, or begins with a bullet"


def test_fragments_and_lines_of_the_file_become_the_section_of_the_version(tree: Path):
    pytest.importorskip("towncrier")
    (tree / "CHANGELOG.md").write_text(
        "# Changelog\n\n<!-- towncrier release notes start -->\n\n## 9 (unreleased)\n\n- A line.\n\n"
        "## 0.0.1 (2020-01-01)\n\n- Old.\n"
    )
    (tree / "changelog.d" / "doctor.fixed.md").write_text("Something is mended,\nin two lines.\n")
    (tree / "changelog.d" / "api.removed.md").write_text("Something is gone.\n")
    done = run(tree, "scripts/changelog")
    assert done.returncode == 0, done.stderr
    text = (tree / "CHANGELOG.md").read_text()
    text = re.sub(r"\(\d{4}-\d\d-\d\d\)", "(DATE)", text)
    assert text == (
        f"# Changelog\n\n<!-- towncrier release notes start -->\n\n## {VERSION} (DATE)\n\n- Something is gone.\n"
        "- Something is mended,\n  in two lines.\n- A line.\n\n## 0.0.1 (DATE)\n\n- Old.\n"
    )
    assert not list((tree / "changelog.d").glob("*.*.md"))


def test_a_tag_is_refused_until_the_changelog_has_its_section(tree: Path):
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} (unreleased)\n\n- A line.\n")
    done = run(tree, "scripts/release", f"v{VERSION}")
    assert (done.returncode, "run scripts/changelog" in done.stderr) == (1, True)
    (tree / "CHANGELOG.md").write_text(f"# Changelog\n\n## {VERSION} (2030-01-01)\n\n- A line.\n")
    (tree / "changelog.d" / "left.fixed.md").write_text("Left.\n")
    done = run(tree, "scripts/release", f"v{VERSION}")
    assert (done.returncode, "Files are left in changelog.d" in done.stderr) == (1, True)
