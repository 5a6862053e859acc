"""Reading store and registry anew, and following models that were renamed or deleted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.controller import a_model, a_version, an_endpoint

from mlflow_serving_plugin.controller.desired import View
from mlflow_serving_plugin.controller.refresh import asked_anew, refresh
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.testing import MemoryRegistry, MemoryStore

ALL = None


def names(*found):
    return frozenset(("default", name) for name in found)


@pytest.fixture
def store():
    return MemoryStore(an_endpoint("iris", created_ms=1), an_endpoint("rose", created_ms=2))


@pytest.fixture
def registry():
    return MemoryRegistry(a_model("iris", a_version(1), created_ms=1), a_model("rose", a_version(1), created_ms=2))


@pytest.fixture
def view(store, registry):
    seen = refresh(store, registry, View(), ALL)
    registry.reads.clear()
    return seen


def test_at_first_every_enabled_model_is_read(store, registry):
    view = refresh(store, registry, View(), ALL)
    assert {endpoint.name for endpoint in view.endpoints.values()} == {"iris", "rose"}
    assert view.models["default", "iris"].versions == (a_version(1),)


def test_a_model_that_is_not_enabled_is_not_read(store, registry):
    registry.put(a_model("tulip", created_ms=3))
    refresh(store, registry, View(), ALL)
    assert sorted(registry.reads) == ["iris", "rose"]


def test_only_the_models_named_are_read_again(store, registry, view):
    registry.put(a_model("iris", a_version(1), a_version(2), created_ms=1))
    registry.put(a_model("rose", a_version(1), a_version(2), created_ms=2))
    later = refresh(store, registry, view, names("iris"))
    assert registry.reads == ["iris"]
    assert len(later.models["default", "iris"].versions) == 2
    assert later.models["default", "rose"] == view.models["default", "rose"]


def test_the_same_name_in_another_workspace_is_another_model(store, registry, view):
    refresh(store, registry, view, frozenset({("other", "iris")}))
    assert registry.reads == []


def test_an_endpoint_that_is_new_is_read_though_nobody_named_it(store, registry, view):
    store.enable("default", "tulip", model_created_ms=3, config=None, by=None)
    registry.put(a_model("tulip", a_version(7), created_ms=3))
    later = refresh(store, registry, view, names())
    assert registry.reads == ["tulip"]
    assert later.models["default", "tulip"].versions == (a_version(7),)


def test_a_changed_configuration_counts_though_nobody_named_the_model(store, registry, view):
    store.configure("default", "iris", EndpointConfig(replicas=5), by=None)
    later = refresh(store, registry, view, names())
    assert later.endpoints["e-iris"].config.replicas == 5


def test_the_model_of_an_endpoint_that_was_asked_to_change_is_read_though_nobody_named_it(store, registry, view):
    store.enable("default", "iris", model_created_ms=1, config=None, by=None)
    later = refresh(store, registry, view, names())
    assert registry.reads == ["iris"]
    assert asked_anew(view, later) == {"e-iris"}
    assert asked_anew(later, later) == set()


def test_a_disabled_endpoint_is_gone_from_the_view(store, registry, view):
    store.disable("default", "iris", by=None)
    later = refresh(store, registry, view, names())
    assert list(later.endpoints) == ["e-rose"]
    assert list(later.models) == [("default", "rose")]


def test_a_renamed_model_is_followed_by_the_time_it_was_created(store, registry, view):
    registry.delete("iris")
    registry.put(a_model("lily", a_version(1), created_ms=1))
    later = refresh(store, registry, view, names("iris"))
    assert later.endpoints["e-iris"].name == "lily"
    assert later.models["default", "lily"].name == "lily"
    assert store.find("default", "lily").id == "e-iris"


def test_a_new_model_under_the_name_of_a_deleted_one_is_not_served_in_its_place(store, registry, view):
    registry.put(a_model("iris", a_version(1), created_ms=99))
    later = refresh(store, registry, view, names("iris"))
    assert "e-iris" not in later.endpoints
    assert store.find("default", "iris") is None


def test_a_renamed_model_is_followed_though_its_old_name_was_taken_since(store, registry, view):
    registry.put(a_model("iris", a_version(5), created_ms=99))
    registry.put(a_model("lily", a_version(1), created_ms=1))
    later = refresh(store, registry, view, names("iris"))
    assert later.models["default", "lily"].name == "lily"


def test_a_deleted_model_s_endpoint_is_removed(store, registry, view):
    registry.delete("iris")
    later = refresh(store, registry, view, names("iris"))
    assert [endpoint.id for endpoint in store.enabled()] == list(later.endpoints) == ["e-rose"]


def test_a_vanished_model_is_not_mistaken_for_one_of_two_of_its_age(store, registry, view):
    registry.delete("iris")
    registry.put(a_model("lily", created_ms=1))
    registry.put(a_model("tulip", created_ms=1))
    assert "e-iris" not in refresh(store, registry, view, names("iris")).endpoints


def test_a_rename_that_the_store_refuses_keeps_the_endpoint_for_later(store, registry, view, monkeypatch):
    registry.delete("iris")
    registry.put(a_model("lily", a_version(1), created_ms=1))
    monkeypatch.setattr(store, "rename", lambda endpoint, name: None)
    assert "e-iris" not in refresh(store, registry, view, names("iris")).endpoints
    assert store.find("default", "iris").id == "e-iris"


@pytest.mark.parametrize("broken", ["model", "renamed_to"])
def test_a_registry_that_cannot_be_read_removes_nothing(store, registry, view, monkeypatch, broken):
    registry.delete("iris")

    def fail(*_):
        raise ConnectionError("database is down")

    monkeypatch.setattr(registry, broken, fail)
    before = store.enabled()
    with pytest.raises(ConnectionError, match="database is down"):
        refresh(store, registry, view, ALL)
    assert store.enabled() == before


def test_what_was_seen_before_is_left_as_it_was(store, registry, view):
    kept = replace(view)
    registry.put(a_model("iris", created_ms=1))
    refresh(store, registry, view, ALL)
    assert view == kept
    assert view.models["default", "iris"].versions == (a_version(1),)


@pytest.fixture
def many():
    """Twenty endpoints, enough for their models to be read together."""
    endpoints = [an_endpoint(f"m{number}", created_ms=number) for number in range(20)]
    models = [a_model(f"m{number}", a_version(1), a_version(2), created_ms=number) for number in range(20)]
    return MemoryStore(*endpoints), MemoryRegistry(*models)


def test_many_models_are_read_together_and_none_by_itself(many):
    store, registry = many
    view = refresh(store, registry, View(), ALL)
    assert view.models == registry.models
    assert registry.reads == []
    refresh(store, registry, view, names("m3"))
    assert registry.reads == ["m3"]


def test_a_version_that_escaped_from_many_is_looked_for_by_itself(many, monkeypatch):
    store, registry = many
    view = refresh(store, registry, View(), ALL)
    escaped = dict(registry.models) | {("default", "m3"): a_model("m3", a_version(2), created_ms=3)}
    monkeypatch.setattr(
        registry, "many", lambda workspace, names: {n: escaped[workspace, n] for n in names if n != "m4"}
    )
    assert refresh(store, registry, view, ALL) == view
    assert sorted(registry.reads) == ["m3", "m4"]


def test_a_deleted_and_a_renamed_model_among_many_are_followed(many):
    store, registry = many
    registry.delete("m3")
    registry.rename("m4", "four")
    view = refresh(store, registry, View(), ALL)
    assert {endpoint.name for endpoint in view.endpoints.values()} == {f"m{n}" for n in range(20)} - {"m3", "m4"} | {
        "four"
    }
