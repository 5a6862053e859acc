"""References in scoring URLs, what they resolve to, and the snapshot's way through a file."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.routes import an_entity, endpoint_of, routes_of

from mlflow_serving_plugin.domain.reference import Reference, parse_reference
from mlflow_serving_plugin.domain.routes import FORMAT, Routes, WorkerRoute
from mlflow_serving_plugin.domain.routes_text import OtherFormatError, dump_routes, load_routes
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.errors import NotFoundError

READY, PENDING, FAILED = EntityState.READY, EntityState.PENDING, EntityState.FAILED
SEGMENT = st.text(min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("segments", "expected"),
    [
        (["iris", "3"], Reference("iris", "version", "3")),
        (["iris", "007"], Reference("iris", "version", "7")),
        (["iris", "Production"], Reference("iris", "stage", "Production")),
        (["iris", "production"], Reference("iris", "stage", "production")),
        (["iris", "Latest"], Reference("iris", "latest", "latest")),
        (["iris@champion"], Reference("iris", "alias", "champion")),
        (["me@home@champion"], Reference("me@home", "alias", "champion")),
        (["me@home", "3"], Reference("me@home", "version", "3")),
        (["123", "4"], Reference("123", "version", "4")),
        (["iris", "³"], Reference("iris", "stage", "³")),
        (["iris", "-1"], Reference("iris", "stage", "-1")),
        (["iris@1"], Reference("iris", "alias", "1")),
    ],
)
def test_each_form_of_reference_is_read(segments, expected):
    assert parse_reference(segments) == expected


@pytest.mark.parametrize("segments", [[], [""], ["iris"], ["iris", ""], ["", "3"], ["@a"], ["a@"], ["a", "1", "x"]])
def test_anything_else_is_not_found_and_the_forms_are_named(segments):
    with pytest.raises(NotFoundError, match=r"/model/(<name>|iris)@<alias>/invocations"):
        parse_reference(segments)


@given(st.lists(st.text(max_size=30), max_size=4))
def test_any_segments_give_a_reference_or_not_found(segments):
    try:
        reference = parse_reference(segments)
    except NotFoundError:
        return
    assert reference.kind in {"version", "stage", "alias", "latest"}
    assert reference.name


@given(name=SEGMENT, number=st.integers(0, 10**40))
def test_any_number_is_a_version_and_resolving_it_never_breaks(name, number):
    reference = parse_reference([name, str(number)])
    assert (reference.name, reference.kind) == (name, "version")
    with pytest.raises(NotFoundError):
        an_endpoint().resolve(reference)


@given(name=SEGMENT, alias=st.text(string.ascii_letters + string.digits + "-_.", min_size=1))
def test_an_alias_follows_the_last_at_sign(name, alias):
    reference = parse_reference([f"{name}@{alias}"])
    assert (reference.name, reference.kind, reference.value) == (name, "alias", alias)
    assert str(reference) == f"{name}@{alias}"


def a_route(number, state=READY, stage="None"):
    worker = WorkerRoute(f"w{number}", "http", f"/run/{number}.sock", 4711 + number, 1, state is READY)
    details = {"model_dir": f"/models/{number}", "note": "a note", "workers": (worker,)}
    return an_entity(number, state, stage=stage, since_ms=1000, **details)


def an_endpoint(*entities, **aliases):
    return endpoint_of(*entities, aliases=aliases)


def resolved(endpoint, *segments):
    return int(endpoint.resolve(parse_reference(list(segments))))


def test_a_number_names_its_version_in_any_state():
    assert resolved(an_endpoint(a_route(1), a_route(2, FAILED)), "iris", "2") == 2


@pytest.mark.parametrize("written", ["Production", "production", "PRODUCTION"])
def test_a_stage_is_found_however_it_is_written(written):
    assert resolved(an_endpoint(a_route(1, stage="Production"), a_route(2)), "iris", written) == 1


def test_a_stage_held_twice_answers_with_the_highest_number_even_if_that_is_not_ready():
    endpoint = an_endpoint(a_route(9, stage="Staging"), a_route(10, PENDING, "Staging"), a_route(11))
    assert resolved(endpoint, "iris", "Staging") == 10


def test_an_alias_names_its_version():
    assert resolved(an_endpoint(a_route(1), a_route(2), champion=1), "iris@champion") == 1


def test_latest_is_the_highest_version_that_is_ready():
    assert resolved(an_endpoint(a_route(9), a_route(10), a_route(11, PENDING)), "iris", "latest") == 10


def test_latest_is_the_highest_version_while_none_is_ready():
    assert resolved(an_endpoint(a_route(1, PENDING), a_route(2, FAILED)), "iris", "latest") == 2


@pytest.mark.parametrize(
    "segments", [["iris", "5"], ["iris", "Staging"], ["iris@nobody"], ["iris@Champion"], ["iris", "9" * 400]]
)
def test_what_is_not_served_is_told_together_with_what_is(segments):
    endpoint = an_endpoint(a_route(1, stage="Production"), a_route(2), champion=2)
    with pytest.raises(NotFoundError) as caught:
        endpoint.resolve(parse_reference(segments))
    assert "is not served" in caught.value.message
    assert "versions 1, 2; stages Production (1); aliases @champion (2)" in caught.value.message


def test_an_endpoint_with_no_version_says_so():
    with pytest.raises(NotFoundError, match="'iris' has serving enabled and no active version"):
        an_endpoint().resolve(parse_reference(["iris", "latest"]))


def test_the_stage_none_is_no_stage_to_name():
    assert an_endpoint(a_route(1), a_route(2, stage="Staging")).named_stages() == {"Staging": "2"}


def test_a_model_that_is_not_enabled_is_named():
    routes = Routes(endpoints={"default/iris": an_endpoint()})
    assert routes.endpoint("default", "iris").name == "iris"
    with pytest.raises(NotFoundError, match="not enabled on registered model 'rose'"):
        routes.endpoint("default", "rose")
    with pytest.raises(NotFoundError):
        routes.endpoint("other", "iris")


def test_a_snapshot_comes_back_as_it_was_written():
    routes = routes_of(a_route(1, stage="Production"), a_route(12, FAILED), aliases={"champion": 1}, written_ms=5)
    again = load_routes(dump_routes(routes))
    assert again == routes
    assert again.entities["e1/12"].state is FAILED


@given(name=st.text(st.characters(codec="utf-8"), min_size=1), message=st.text(st.characters(codec="utf-8")))
def test_any_name_and_message_come_back(name, message):
    routes = routes_of(an_entity(1, FAILED, message, model=name, stage=name), name=name, message=message)
    assert load_routes(dump_routes(routes)) == routes


@pytest.mark.parametrize("keep", [0, 1, 50, -1])
def test_a_damaged_snapshot_is_an_error_and_not_half_of_the_routes(keep):
    whole = dump_routes(routes_of(a_route(1)))
    with pytest.raises(ValueError, match=r".+"):
        load_routes(whole[:keep])


@pytest.mark.parametrize(
    "change", [{"format": FORMAT + 1}, {"endpoints": []}, {"endpoints": {"default/iris": {"id": "e"}}}], ids=str
)
def test_a_snapshot_of_another_format_is_an_error(change):
    with pytest.raises(ValueError, match=r".+"):
        load_routes(json.dumps({**json.loads(dump_routes(Routes())), **change}).encode())


def test_a_snapshot_of_the_format_before_is_told_from_a_damaged_one():
    endpoint = {"id": "e", "workspace": "default", "name": "iris", "state": "READY", "message": ""}
    endpoint |= {"request_timeout_s": 60.0, "default_dialect": "modern", "versions": {"1": {}}, "aliases": {}}
    first = {"format": 1, "written_ms": 5, "endpoints": {"default/iris": endpoint}}
    with pytest.raises(OtherFormatError, match=f"format 1, expected {FORMAT}"):
        load_routes(json.dumps(first).encode())


def test_the_entities_of_an_endpoint_come_in_the_order_of_their_versions():
    routes = routes_of(a_route(10), a_route(9), a_route(2, EntityState.DRAINING))
    assert [entity.name for entity in routes.entities_of(routes.endpoint("default", "iris"))] == ["2", "9", "10"]


def test_an_entity_that_drains_is_not_served_any_more():
    with pytest.raises(NotFoundError, match="Served now: versions 1"):
        an_endpoint(a_route(1), a_route(2, EntityState.DRAINING)).resolve(parse_reference(["iris", "2"]))
