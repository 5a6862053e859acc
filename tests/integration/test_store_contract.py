"""What every store of endpoints and events does: the one in memory, and ours on each database that is tested."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.events import Event
from mlflow_serving_plugin.errors import InvalidParameterError, NotFoundError

WS = "default"
PLAIN = EndpointConfig()
TWO = EndpointConfig(replicas=2, environment={"A": "ü"}, request_timeout_s=2.5)


def enable(store, name="iris", *, created_ms=1, config=None, by=None):
    return store.enable(WS, name, model_created_ms=created_ms, config=config, by=by)


def told(store, name="iris", **options):
    page, _ = store.events(WS, name, **{"entity": None, "page_token": None, "limit": 1000, **options})
    return [found.type for found in reversed(page)]


def an_event(number=1, *, entity="1", message=""):
    return Event(number, WS, "iris", entity, "VERSION_READY", message or f"event {number}")


def test_nothing_is_enabled_at_first(store):
    assert store.enabled() == []
    assert store.find(WS, "iris") is None


def test_an_enabled_model_is_found_with_its_configuration(store):
    enabled = enable(store, config=TWO)
    assert (enabled.workspace, enabled.name, enabled.config, enabled.model_created_ms) == (WS, "iris", TWO, 1)
    assert store.find(WS, "iris") == enabled
    assert store.enabled() == [enabled]


def test_the_same_name_in_another_workspace_is_another_endpoint(store):
    enable(store)
    assert store.find("team", "iris") is None
    other = store.enable("team", "iris", model_created_ms=5, config=None, by=None)
    assert len(store.enabled()) == 2
    store.disable(WS, "iris", by=None)
    assert store.enabled() == [other]


@pytest.mark.parametrize("name", ["a'b\"c", "rosé 🌹", "x" * 256, "semi;colon -- x", "50%_off"])
def test_a_name_of_any_kind_is_kept(store, name):
    assert store.find(WS, enable(store, name).name).name == name


def test_enabling_twice_is_enabling_once(store):
    assert replace(enable(store, config=TWO), generation=0) == replace(enable(store), generation=0)
    assert told(store) == ["ENDPOINT_ENABLED"]


def test_enabling_with_another_configuration_changes_it_and_says_so(store):
    enable(store, config=TWO)
    assert enable(store, config=PLAIN, by="ada").config == PLAIN
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_CONFIGURED"]


def test_a_disabled_endpoint_is_gone_and_keeps_its_settings_and_history_for_later(store):
    before = enable(store, config=TWO)
    assert store.disable(WS, "iris", by="ada")
    assert store.enabled() == []
    assert store.find(WS, "iris") is None
    assert enable(store) == replace(before, generation=before.generation + 1)
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED", "ENDPOINT_ENABLED"]


def test_disabling_what_is_not_enabled_does_nothing(store):
    assert not store.disable(WS, "iris", by=None)
    enable(store)
    store.disable(WS, "iris", by=None)
    assert not store.disable(WS, "iris", by=None)
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED"]


def test_events_name_who_did_it(store):
    enable(store, by="ada")
    page, _ = store.events(WS, "iris", entity=None, page_token=None, limit=1)
    assert page[0].message == "Serving was enabled by ada."
    assert abs(page[0].timestamp_ms / 1000 - time.time()) < 60


def test_configuring_replaces_the_configuration_and_is_told_once(store):
    enable(store)
    assert store.configure(WS, "iris", TWO, by=None).config == TWO
    assert store.configure(WS, "iris", TWO, by=None).config == TWO
    assert store.find(WS, "iris").config == TWO
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_CONFIGURED"]


def test_each_change_that_somebody_asks_for_is_a_new_generation(store):
    generations = [enable(store).generation, enable(store).generation]
    generations += [store.configure(WS, "iris", config, by=None).generation for config in (TWO, TWO, PLAIN)]
    store.disable(WS, "iris", by=None)
    generations += [enable(store).generation]
    assert generations == [1, 2, 3, 3, 4, 5]
    assert store.find(WS, "iris").generation == 5
    assert [endpoint.generation for endpoint in store.enabled()] == [5]


@pytest.mark.parametrize("disabled_before", [False, True])
def test_configuring_what_is_not_enabled_is_not_found(store, disabled_before):
    if disabled_before:
        enable(store)
        store.disable(WS, "iris", by=None)
    with pytest.raises(NotFoundError, match="'iris'"):
        store.configure(WS, "iris", TWO, by=None)


def test_a_new_model_under_an_old_name_does_not_inherit_settings_or_history(store):
    old = enable(store, config=TWO)
    new = enable(store, created_ms=2)
    assert new.config == PLAIN
    assert new.id != old.id
    assert told(store) == ["ENDPOINT_ENABLED"]


def test_a_renamed_endpoint_keeps_its_settings_and_history(store):
    before = enable(store, config=TWO)
    store.rename(before, "rose")
    assert store.find(WS, "iris") is None
    assert store.find(WS, "rose") == replace(before, name="rose")
    assert told(store, "rose") == ["ENDPOINT_ENABLED", "MODEL_RENAMED"]
    assert told(store, "iris") == []


def test_renaming_twice_is_told_once(store):
    # Two hosts see the same rename, each through a controller of its own.
    before = enable(store)
    store.rename(before, "rose")
    store.rename(before, "rose")
    assert told(store, "rose") == ["ENDPOINT_ENABLED", "MODEL_RENAMED"]


def test_a_rename_onto_an_enabled_endpoint_is_left_alone(store):
    iris, rose = enable(store), enable(store, "rose", created_ms=2)
    store.rename(iris, "rose")
    assert store.enabled() == [iris, rose]


def test_a_rename_takes_the_name_of_an_endpoint_that_was_disabled(store):
    iris = enable(store, config=TWO)
    enable(store, "rose", created_ms=2)
    store.disable(WS, "rose", by=None)
    store.rename(iris, "rose")
    assert store.enabled() == [replace(iris, name="rose")]


def test_renaming_what_was_removed_meanwhile_does_nothing(store):
    endpoint = enable(store)
    store.remove(endpoint)
    store.rename(endpoint, "rose")
    assert store.enabled() == []


def test_events_come_newest_first_a_page_at_a_time(store):
    endpoint = enable(store)
    # Many in one millisecond: the order they were written in counts.
    store.add_events([(endpoint.id, replace(an_event(7), message=str(n))) for n in range(5)])
    pages, token = [], None
    while True:
        page, token = store.events(WS, "iris", entity="1", page_token=token, limit=2)
        pages.append([found.message for found in page])
        if token is None:
            break
    assert pages == [["4", "3"], ["2", "1"], ["0"]]


def test_a_last_page_that_is_full_has_no_next(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(n)) for n in range(2)])
    _, token = store.events(WS, "iris", entity="1", page_token=None, limit=2)
    assert token is None


def test_what_two_hosts_tell_is_one_event_with_both_hosts(store):
    endpoint = enable(store)
    here, there = (replace(an_event(message="Serving."), hosts=(host,)) for host in ("here", "there"))
    failed = replace(here, type="VERSION_FAILED", message="No module", hosts=("there",))
    store.add_events([(endpoint.id, here), (endpoint.id, failed)])
    store.add_events([(endpoint.id, there)])
    page, _ = store.events(WS, "iris", entity="1", page_token=None, limit=10)
    assert [(event.type, event.hosts) for event in page] == [
        ("VERSION_FAILED", ("there",)),
        ("VERSION_READY", ("here", "there")),
    ]
    much_later = replace(there, timestamp_ms=here.timestamp_ms + 3_600_000)
    store.add_events([(endpoint.id, here), (endpoint.id, much_later)])
    page, _ = store.events(WS, "iris", entity="1", page_token=None, limit=2)
    assert [event.hosts for event in page] == [("there",), ("here",)]


def test_events_that_arrive_between_two_pages_shift_neither(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(n)) for n in range(4)])
    first, token = store.events(WS, "iris", entity="1", page_token=None, limit=2)
    store.add_events([(endpoint.id, an_event(9))])
    second, _ = store.events(WS, "iris", entity="1", page_token=token, limit=2)
    assert [found.timestamp_ms for found in first + second] == [3, 2, 1, 0]


def test_events_of_one_version_are_those_of_no_other(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(1, entity="1")), (endpoint.id, an_event(2, entity="2"))])
    page, _ = store.events(WS, "iris", entity="2", page_token=None, limit=10)
    assert [found.entity for found in page] == ["2"]


@pytest.mark.parametrize("token", ["x", "-1", "1.5", "", "9" * 40, "1 OR 1=1", "²"])
def test_a_token_that_was_never_given_is_refused(store, token):
    with pytest.raises(InvalidParameterError, match="page_token"):
        store.events(WS, "iris", entity=None, page_token=token, limit=1)


def test_events_of_an_endpoint_that_was_removed_meanwhile_are_not_kept(store):
    gone = enable(store)
    store.remove(gone)
    store.add_events([(gone.id, an_event())])
    assert store.prune_events(before_ms=2) == 0


def test_a_message_with_characters_that_a_database_refuses_is_kept_all_the_same(store):
    # One event that can never be written would hold up all that come after it.
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(message="read \x00 and \udcff, then é"))])
    page, _ = store.events(WS, "iris", entity="1", page_token=None, limit=1)
    assert page[0].message.startswith("read ")
    assert page[0].message.endswith("then é")


def test_old_events_are_pruned_and_counted(store):
    endpoint = enable(store)
    store.add_events([(endpoint.id, an_event(n)) for n in (10, 20, 30)])
    assert store.prune_events(20) == 1
    page, _ = store.events(WS, "iris", entity="1", page_token=None, limit=10)
    assert [found.timestamp_ms for found in page] == [30, 20]
    assert store.prune_events(20) == 0


def at_once(count, work):
    barrier = threading.Barrier(count)

    def one(number):
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as threads:
        return [future.result() for future in [threads.submit(one, number) for number in range(count)]]


@pytest.mark.parametrize("round_", range(3))
def test_enabling_from_many_threads_at_once_is_enabling_once(store, round_):
    assert len({endpoint.id for endpoint in at_once(6, lambda _: enable(store))}) == 1
    assert told(store) == ["ENDPOINT_ENABLED"]


@pytest.mark.parametrize("round_", range(3))
def test_enabling_again_from_many_threads_at_once_is_told_once(store, round_):
    enable(store)
    store.disable(WS, "iris", by=None)
    at_once(6, lambda _: enable(store))
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED", "ENDPOINT_ENABLED"]


@pytest.mark.parametrize("round_", range(3))
def test_disabling_from_many_threads_at_once_succeeds_once(store, round_):
    enable(store)
    assert sorted(at_once(6, lambda _: store.disable(WS, "iris", by=None))) == [False] * 5 + [True]
    assert told(store) == ["ENDPOINT_ENABLED", "ENDPOINT_DISABLED"]


def test_writers_do_not_lose_one_another_s_events(store):
    endpoint = enable(store)
    at_once(6, lambda number: [store.add_events([(endpoint.id, an_event(number))]) for _ in range(20)])
    assert told(store).count("VERSION_READY") == 120
