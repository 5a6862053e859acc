"""In the interpreters of a server under test: zygotes are forks. See ``support.preloaded``."""

import importlib.abc
import importlib.util
import os
import sys
from pathlib import Path

_STARTS_ZYGOTES = "mlflow_serving_plugin.backends.native"


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        """The module that starts zygotes, changed once it is imported; all others are found as always."""
        if name != _STARTS_ZYGOTES:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def execute_and_change(module):
                execute(module)
                module.start_session = _preloaded().start_session

            spec.loader.exec_module = execute_and_change
        return spec


def _preloaded():
    file = Path(__file__).parents[1] / "preloaded.py"
    spec = importlib.util.spec_from_file_location("serving_tests_preloaded", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if os.environ.get("SERVING_TESTS_PRELOADED"):
    sys.meta_path.insert(0, _Finder())
