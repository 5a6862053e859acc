"""What MLflow's registry says through the reader, and what the double in memory says alike."""

from __future__ import annotations

import pytest
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from mlflow_serving_plugin.errors import NotFoundError
from mlflow_serving_plugin.registry.models import ModelVersion, RegisteredModel
from mlflow_serving_plugin.registry.reader import RegistryReader
from mlflow_serving_plugin.testing import MemoryRegistry

WS = "default"


class InMlflow:
    """MLflow's own store in SQLite, changed as users change it."""

    def __init__(self, store):
        self.store = store
        self.reader = RegistryReader(lambda: store)

    def add(self, name, *versions):
        self.store.create_registered_model(name)
        for number in versions:
            self.store.create_model_version(name, f"memory://{name}/{number}", "a" * 32)

    def created_ms(self, name):
        return self.store.get_registered_model(name).creation_timestamp

    def alias(self, name, alias, number):
        self.store.set_registered_model_alias(name, alias, str(number))

    def stage(self, name, number, stage):
        self.store.transition_model_version_stage(name, str(number), stage, False)

    def delete_version(self, name, number):
        self.store.delete_model_version(name, str(number))

    def delete(self, name):
        self.store.delete_registered_model(name)

    def rename(self, name, new):
        self.store.rename_registered_model(name, new)


class InMemory:
    """The double, changed by replacing models."""

    def __init__(self):
        self.reader = self.registry = MemoryRegistry()
        self.moment = 1000

    def add(self, name, *versions):
        self.moment += 1
        self.registry.add(name, *versions, created_ms=self.moment)

    def created_ms(self, name):
        return self.model(name).created_ms

    def model(self, name):
        return self.registry.model(WS, name)

    def alias(self, name, alias, number):
        found = self.model(name)
        self.put(found, found.versions, {**found.aliases, alias: number})

    def stage(self, name, number, stage):
        found = self.model(name)
        changed = [
            ModelVersion(v.number, stage, v.status, v.source) if v.number == number else v for v in found.versions
        ]
        self.put(found, tuple(changed), found.aliases)

    def delete_version(self, name, number):
        found = self.model(name)
        self.put(found, tuple(v for v in found.versions if v.number != number), found.aliases)

    def put(self, model, versions, aliases):
        self.registry.put(RegisteredModel(WS, model.name, model.created_ms, versions, aliases))

    def delete(self, name):
        self.registry.delete(name)

    def rename(self, name, new):
        found = self.model(name)
        self.registry.delete(name)
        self.registry.put(RegisteredModel(WS, new, found.created_ms, found.versions, found.aliases))


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """Making the tables takes a second: once for all."""
    return SqlAlchemyStore(f"sqlite:///{tmp_path_factory.mktemp('registry')}/registry.db")


@pytest.fixture(params=["mlflow", "memory"])
def registry(request):
    if request.param == "memory":
        return InMemory()
    store = request.getfixturevalue("database")
    for model in store.search_registered_models(max_results=1000):
        store.delete_registered_model(model.name)
    return InMlflow(store)


def test_a_model_is_read_with_its_versions_aliases_and_age(registry):
    registry.add("iris", 1, 2, 3)
    registry.alias("iris", "champion", 2)
    found = registry.reader.model(WS, "iris")
    assert (found.workspace, found.name) == (WS, "iris")
    assert found.created_ms == registry.created_ms("iris") > 0
    assert [version.number for version in found.versions] == [1, 2, 3]
    assert [version.source for version in found.versions] == [f"memory://iris/{n}" for n in (1, 2, 3)]
    assert {(version.stage, version.status) for version in found.versions} == {("None", "READY")}
    assert found.aliases == {"champion": 2}


def test_a_model_without_versions_has_none(registry):
    registry.add("iris")
    found = registry.reader.model(WS, "iris")
    assert (found.versions, found.aliases) == ((), {})


def test_an_archived_version_is_read_and_not_active(registry):
    registry.add("iris", 1, 2, 3)
    registry.stage("iris", 1, "Archived")
    registry.stage("iris", 2, "Production")
    assert [(v.number, v.stage, v.active) for v in registry.reader.model(WS, "iris").versions] == [
        (1, "Archived", False),
        (2, "Production", True),
        (3, "None", True),
    ]


def test_a_deleted_version_is_not_read(registry):
    registry.add("iris", 1, 2)
    registry.delete_version("iris", 1)
    assert [version.number for version in registry.reader.model(WS, "iris").versions] == [2]


def test_a_model_that_never_was_is_not_found(registry):
    with pytest.raises(NotFoundError, match="Registered Model with name=iris not found"):
        registry.reader.model(WS, "iris")


def test_a_deleted_model_is_not_found_and_was_not_renamed(registry):
    registry.add("iris", 1)
    created_ms = registry.created_ms("iris")
    registry.delete("iris")
    with pytest.raises(NotFoundError, match="iris"):
        registry.reader.model(WS, "iris")
    assert registry.reader.renamed_to(WS, created_ms) is None


def test_a_renamed_model_is_found_by_when_it_was_created(registry):
    registry.add("iris", 1)
    created_ms = registry.created_ms("iris")
    registry.rename("iris", "blossom")
    assert registry.reader.renamed_to(WS, created_ms) == "blossom"
    assert [version.number for version in registry.reader.model(WS, "blossom").versions] == [1]


def test_names_that_differ_in_case_only_are_two_models(registry):
    registry.add("iris", 1)
    registry.add("Iris", 1, 2)
    assert len(registry.reader.model(WS, "iris").versions) == 1
    assert len(registry.reader.model(WS, "Iris").versions) == 2


def test_many_models_are_read_together_as_each_by_itself(registry):
    registry.add("iris", 1, 2, 3)
    registry.alias("iris", "champion", 2)
    registry.stage("iris", 1, "Archived")
    registry.add("Iris", 1)
    registry.add("it's", 1, 2)
    registry.add("empty")
    registry.add("not asked for", 1)
    names = ["iris", "Iris", "it's", "empty"]
    found = registry.reader.many(WS, [*names, "never was"])
    assert found == {name: registry.reader.model(WS, name) for name in names}
