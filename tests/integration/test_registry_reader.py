"""What the reader says of a real registry, in SQLite."""

from __future__ import annotations

import pytest
from mlflow.entities.model_registry import ModelVersionTag, RegisteredModelTag
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import TEMPORARILY_UNAVAILABLE
from mlflow.store.model_registry.sqlalchemy_store import SqlAlchemyStore

from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError, UnavailableError
from mlflow_serving_plugin.registry import reader as reader_module
from mlflow_serving_plugin.registry.reader import RegistryReader

ODD_NAMES = [
    "it's",
    'the "best"',
    "both ' and \"",
    "two words",
    " lead and trail ",
    "v1.2.3",
    "ünïcode 模型 🦀",
    "100%_sure",
    "back\\slash",
    "model' OR name != '",
    "x@y",
]


@pytest.fixture(scope="module")
def database(tmp_path_factory) -> SqlAlchemyStore:
    """Making the tables takes a second: once for all."""
    return SqlAlchemyStore(f"sqlite:///{tmp_path_factory.mktemp('registry')}/registry.db")


@pytest.fixture
def store(database) -> SqlAlchemyStore:
    for model in database.search_registered_models(max_results=1000):
        database.delete_registered_model(model.name)
    return database


@pytest.fixture
def reader(store) -> RegistryReader:
    return RegistryReader(lambda: store)


def register(store, name: str, versions: int = 1) -> None:
    store.create_registered_model(name)
    for number in range(1, versions + 1):
        store.create_model_version(name, f"file:///models/{number}", "a" * 32)


def created_ms(store, name: str) -> int:
    return store.get_registered_model(name).creation_timestamp


@pytest.mark.parametrize("page", [1, 2, 5, 11, 12])
def test_versions_on_every_page_are_read_and_come_in_the_order_of_their_numbers(store, reader, monkeypatch, page):
    register(store, "iris", 11)
    monkeypatch.setattr(reader_module, "_PAGE", page)
    assert [version.number for version in reader.model("default", "iris").versions] == list(range(1, 12))


def test_a_prompt_is_refused_and_called_one(store, reader):
    tag = RegisteredModelTag("mlflow.prompt.is_prompt", "true")
    store.create_registered_model("greeting", tags=[tag])
    store.create_model_version("greeting", "dummy", tags=[ModelVersionTag("mlflow.prompt.is_prompt", "true")])
    with pytest.raises(NotFoundError, match="'greeting' is a prompt, not a model"):
        reader.model("default", "greeting")


def test_a_model_that_says_it_is_no_prompt_is_a_model(store, reader):
    store.create_registered_model("iris", tags=[RegisteredModelTag("mlflow.prompt.is_prompt", "false")])
    assert reader.model("default", "iris").name == "iris"


@pytest.mark.parametrize("name", ["a/b", "a:b", ""])
def test_a_name_that_no_model_can_have_is_refused_with_the_reason(reader, name):
    with pytest.raises(InvalidParameterError, match="name"):
        reader.model("default", name)


def test_a_registry_that_cannot_be_read_is_not_a_missing_model(reader, store, monkeypatch):
    register(store, "iris")

    def fail(*_args, **_kwargs):
        raise MlflowException("the database is away")

    monkeypatch.setattr(store, "get_registered_model", fail)
    with pytest.raises(MlflowException, match="the database is away"):
        reader.model("default", "iris")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_of_any_characters_is_read_with_its_own_versions_only(store, reader, name):
    register(store, name, 3)
    register(store, "model", 2)
    found = reader.model("default", name)
    assert found.name == name
    assert [version.number for version in found.versions] == [1, 2, 3]


@pytest.mark.parametrize("page", [1, 2, 1000])
def test_a_name_with_both_quotes_is_read_to_the_last_page_of_all_models(store, reader, monkeypatch, page):
    for name in ("a", "both ' and \"", "z"):
        register(store, name, 3)
    monkeypatch.setattr(reader_module, "_PAGE", page)
    assert [version.number for version in reader.model("default", "both ' and \"").versions] == [1, 2, 3]


# A renamed model


@pytest.mark.parametrize("page", [1, 1000])
def test_a_renamed_model_is_found_by_when_it_was_created_on_whatever_page_it_is(store, reader, monkeypatch, page):
    moments = iter(range(1000, 2000))
    monkeypatch.setattr("mlflow.store.model_registry.sqlalchemy_store.get_current_time_millis", lambda: next(moments))
    for name in ("a", "iris", "z"):
        register(store, name, 0)
    created = created_ms(store, "iris")
    store.rename_registered_model("iris", "blossom")
    monkeypatch.setattr(reader_module, "_PAGE", page)
    assert reader.renamed_to("default", created) == "blossom"


def test_of_two_models_created_in_the_same_millisecond_neither_is_guessed(store, reader, monkeypatch):
    monkeypatch.setattr("mlflow.store.model_registry.sqlalchemy_store.get_current_time_millis", lambda: 1234)
    register(store, "iris", 0)
    register(store, "wine", 0)
    assert created_ms(store, "iris") == created_ms(store, "wine") == 1234
    store.rename_registered_model("iris", "blossom")
    assert reader.renamed_to("default", 1234) is None


def test_a_registry_whose_database_is_away_is_told_from_a_model_that_is_not_there():
    class Away:
        def get_registered_model(self, name):
            raise MlflowException("connection to server at secret failed", error_code=TEMPORARILY_UNAVAILABLE)

    with pytest.raises(UnavailableError) as raised:
        RegistryReader(Away).model("default", "iris")
    assert "secret" not in raised.value.message


@pytest.mark.parametrize("page", [1, 3, 100])
def test_models_read_together_are_whole_whatever_the_size_of_a_page(store, reader, monkeypatch, page):
    monkeypatch.setattr(reader_module, "_PAGE", page)
    for number in range(4):
        register(store, f"m{number}", 3)
    found = reader.many("default", {"m0", "m2", "m3"})
    assert found.keys() == {"m0", "m2", "m3"}
    assert {tuple(version.number for version in model.versions) for model in found.values()} == {(1, 2, 3)}


def test_a_registry_that_is_mostly_not_wanted_and_prompts_are_not_read_together(store, reader, monkeypatch):
    register(store, "iris", 2)
    store.create_registered_model("hello", tags=[RegisteredModelTag("mlflow.prompt.is_prompt", "true")])
    assert reader.many("default", {"iris", "hello"}).keys() == {"iris"}
    register(store, "rose", 2)
    monkeypatch.setattr(reader_module, "_PAGE", 1)
    monkeypatch.setattr(reader_module, "_MOST_ROWS", 1)
    assert reader.many("default", {"iris"}) == {}
