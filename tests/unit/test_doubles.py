"""The doubles have the methods of what they stand for; that they do the same is shown by the contract tests."""

from __future__ import annotations

import inspect

import pytest

from mlflow_serving_plugin import testing
from mlflow_serving_plugin.access.base import Access
from mlflow_serving_plugin.access.tokens import TokenReader
from mlflow_serving_plugin.backends.base import Backend
from mlflow_serving_plugin.controller.deps import ControllerStore
from mlflow_serving_plugin.controller.refresh import ModelSource
from mlflow_serving_plugin.operations.contracts import EndpointStore, ModelLookup, TokenAdmin

STANDS_FOR = [
    (testing.MemoryStore, EndpointStore),
    (testing.MemoryStore, ControllerStore),
    (testing.MemoryTokens, TokenAdmin),
    (testing.MemoryTokens, TokenReader),
    (testing.MemoryRegistry, ModelSource),
    (testing.MemoryRegistry, ModelLookup),
    (testing.MemoryBackend, Backend),
    (testing.MemoryAccess, Access),
]


@pytest.mark.parametrize(("double", "contract"), STANDS_FOR, ids=lambda found: found.__name__)
def test_a_double_takes_the_arguments_of_its_contract(double, contract):
    methods = {name: found for name, found in inspect.getmembers(contract, inspect.isfunction) if name[0] != "_"}
    assert methods
    for name, method in methods.items():
        wanted = [(p.name, p.kind) for p in inspect.signature(method).parameters.values()]
        assert [(p.name, p.kind) for p in inspect.signature(getattr(double, name)).parameters.values()] == wanted, name


def test_every_double_of_the_package_stands_for_something():
    assert {double.__name__ for double, _ in STANDS_FOR} == set(testing.__all__)
