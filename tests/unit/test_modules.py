"""What holds for every module: the oldest Python that setup.cfg names can read it."""

from __future__ import annotations

import importlib
import pkgutil

import mlflow_serving_plugin


def test_every_module_can_be_imported():
    found = [module.name for module in pkgutil.walk_packages(mlflow_serving_plugin.__path__, "mlflow_serving_plugin.")]
    # Programs: one starts a worker, and Alembic runs its own modules.
    modules = [name for name in found if not name.endswith("__main__") and ".migrations." not in name]
    assert len(modules) > 150
    for name in modules:
        importlib.import_module(name)
