"""In-memory doubles of what the server works with, for tests of this package and of plugins that build on it.

Each passes the contract tests of what it stands for, so that code that is tested on it runs on the real thing too::

    from mlflow_serving_plugin.testing import MemoryAccess, MemoryRegistry, MemoryStore

    registry = MemoryRegistry()
    registry.add("iris", 1, 2)
    store = MemoryStore()
    endpoint = store.enable("default", "iris", model_created_ms=1, config=None, by="alice")

``MemoryStore`` and ``MemoryTokens`` stand for the tables, ``MemoryRegistry`` for MLflow's Model Registry,
``MemoryAccess`` for an auth app. All are thread-safe. An attribute ``broken`` set to an exception makes store and
registry raise the exception. The product never imports this package.
"""

from mlflow_serving_plugin.testing.access import MemoryAccess
from mlflow_serving_plugin.testing.registry import MemoryRegistry
from mlflow_serving_plugin.testing.store import MemoryStore
from mlflow_serving_plugin.testing.tokens import MemoryTokens

__all__ = ["MemoryAccess", "MemoryRegistry", "MemoryStore", "MemoryTokens"]
