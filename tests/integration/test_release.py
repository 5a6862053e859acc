"""A release as it would go out: both distributions are built and checked, and the source installs without Node.js."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from support.tree import copy_of_the_tree

import mlflow_serving_plugin

ROOT = Path(__file__).parents[2]
BUNDLE = "mlflow_serving_plugin/ui/bundle"
UV = shutil.which("uv") or str(Path(sys.executable).parent / "uv")

pytestmark = pytest.mark.eras


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``dist/`` of a copy of the tree."""
    tree = copy_of_the_tree(tmp_path_factory.mktemp("release") / "tree")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["scripts/release"],
        cwd=tree,
        env={**os.environ, "PATH": path, "BUILD_OPTIONS": "--installer uv"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return tree / "dist"


def test_both_distributions_have_the_version_of_the_package(released: Path) -> None:
    version = mlflow_serving_plugin.__version__
    assert {file.name for file in released.iterdir()} == {
        f"mlflow_serving_plugin-{version}-py3-none-any.whl",
        f"mlflow_serving_plugin-{version}.tar.gz",
        f"mlflow_serving_plugin-{version}.sbom.cdx.json",
    }


def test_the_wheel_has_the_tab_with_its_licences_and_its_bill_of_materials(released: Path) -> None:
    with zipfile.ZipFile(next(released.glob("*.whl"))) as wheel:
        bill = json.loads(wheel.read(f"{BUNDLE}/sbom.cdx.json"))
        licences = wheel.read(f"{BUNDLE}/licences.txt").decode()
        script = wheel.read(f"{BUNDLE}/mlflow-serving.js").decode()
    named = {component["name"]: component["version"] for component in bill["components"]}
    assert {"react", "react-dom", "scheduler", "@tanstack/query-core", "uplot"} <= named.keys()
    assert not {"vite", "rolldown", "typescript"} & named.keys()
    # React writes its version into the script.
    assert re.search(rf'"{re.escape(named["react-dom"])}"|`{re.escape(named["react-dom"])}`', script)
    for name, version in named.items():
        assert f"\n{name} {version} (" in f"\n{licences}"
    assert "No licence file" not in licences


def test_the_source_distribution_installs_where_there_is_no_node(released: Path, tmp_path: Path) -> None:
    source = next(released.glob("*.tar.gz"))
    with tarfile.open(source) as archive:
        assert not [name for name in archive.getnames() if "node_modules" in name]
    nothing = tmp_path / "nothing"
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(tmp_path / "venv")], check=True)
    done = subprocess.run(
        # uv would take the package from its cache of built ones.
        [UV, "pip", "install", "--python", tmp_path / "venv", "--no-deps", "--refresh", str(source)],
        env={**os.environ, "PATH": str(nothing)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert list((tmp_path / "venv").glob(f"lib/*/site-packages/{BUNDLE}/mlflow-serving.js"))


def test_a_tag_of_another_version_is_refused() -> None:
    done = subprocess.run([ROOT / "scripts" / "release", "v99"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "The tag is v99" in done.stderr
