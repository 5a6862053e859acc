"""What holds for every module: the oldest Python that setup.cfg names can read it."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from collections import Counter
from pathlib import Path

import mlflow_serving_plugin


def test_every_module_can_be_imported():
    found = [module.name for module in pkgutil.walk_packages(mlflow_serving_plugin.__path__, "mlflow_serving_plugin.")]
    # Programs: one starts a worker, and Alembic runs its own modules.
    modules = [name for name in found if not name.endswith("__main__") and ".migrations." not in name]
    assert len(modules) > 150
    for name in modules:
        importlib.import_module(name)


def test_no_class_is_a_generic_named_tuple():
    """Python 3.10 cannot make one, and neither ruff nor mypy says so."""
    for path in Path(mlflow_serving_plugin.__path__[0]).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            bases = [ast.unparse(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
            assert not ("NamedTuple" in bases and any(base.startswith("Generic[") for base in bases)), path


def test_every_file_of_tests_has_a_name_of_its_own():
    """pytest imports them by name alone, and refuses the second."""
    names = Counter(path.name for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert [name for name, count in names.items() if count > 1] == []
