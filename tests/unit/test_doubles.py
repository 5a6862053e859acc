"""The doubles have the methods of what they stand for; that they do the same is shown by the contract tests."""

from __future__ import annotations

import inspect

import pytest
from support.controller import FakeBackend

from mlflow_serving_plugin import testing
from mlflow_serving_plugin.access.base import Access
from mlflow_serving_plugin.access.tokens import TokenReader
from mlflow_serving_plugin.backends.base import Backend
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.store.endpoints import Store
from mlflow_serving_plugin.store.events import EventLog
from mlflow_serving_plugin.store.serving import ServingStore
from mlflow_serving_plugin.store.tokens import TokenStore

STANDS_FOR = [
    (testing.MemoryStore, Store),
    (testing.MemoryStore, EventLog),
    (testing.MemoryStore, ServingStore),
    (testing.MemoryTokens, TokenStore),
    (testing.MemoryTokens, TokenReader),
    (testing.MemoryRegistry, RegistryReader),
    (testing.MemoryAccess, Access),
]


@pytest.mark.parametrize(
    ("double", "contract"), [*STANDS_FOR, (FakeBackend, Backend)], ids=lambda found: found.__name__
)
def test_a_double_takes_the_arguments_of_its_contract(double, contract):
    methods = {name: found for name, found in vars(contract).items() if inspect.isfunction(found) and name[0] != "_"}
    assert methods
    for name, method in methods.items():
        wanted = [(p.name, p.kind) for p in inspect.signature(method).parameters.values()]
        assert [(p.name, p.kind) for p in inspect.signature(getattr(double, name)).parameters.values()] == wanted, name


def test_every_double_of_the_package_stands_for_something():
    assert {double.__name__ for double, _ in STANDS_FOR} == set(testing.__all__)
