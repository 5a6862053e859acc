"""What the gateway and the API are told, and which events come of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.controller import TIMEOUT_S, a_model, a_need, a_version, a_view, a_worker, an_endpoint

from mlflow_serving_plugin.backends.base import WorkerPhase
from mlflow_serving_plugin.controller.backoff import CRASH_LOOP, Failure
from mlflow_serving_plugin.controller.describing import Describer
from mlflow_serving_plugin.controller.desired import View, desire
from mlflow_serving_plugin.controller.scale import scale
from mlflow_serving_plugin.controller.standing import Observed
from mlflow_serving_plugin.controller.transitions import transitions
from mlflow_serving_plugin.domain.config import EndpointConfig
from mlflow_serving_plugin.domain.entity import EntityKey
from mlflow_serving_plugin.domain.placement import placement
from mlflow_serving_plugin.domain.routes import Routes
from mlflow_serving_plugin.domain.routes_text import dump_routes, load_routes
from mlflow_serving_plugin.domain.serving import ServedConfig, ServedEntity, ServingSpec
from mlflow_serving_plugin.domain.states import EndpointState, EntityState

K1, K2 = EntityKey("e-iris", "1"), EntityKey("e-iris", "2")
ONLY_ONE = a_view((an_endpoint(), a_model("iris", a_version(1, "Production"))))
BOTH = a_view((an_endpoint(), a_model("iris", a_version(1), a_version(2))))
NOBODY = Routes()


def routes_of(view, *, before=NOBODY, now_ms=5000, **observed):
    desired = desire(view, TIMEOUT_S)
    seen = Observed(**observed)
    return Describer(TIMEOUT_S).describe(view, desired, scale(desired), seen, before, now_ms=now_ms)


def endpoint_of(view, **options):
    (endpoint,) = routes_of(view, **options).endpoints.values()
    return endpoint


def entity_of(view, **options):
    return routes_of(view, **options).entities["e-iris/1"]


def worker_of(view, number=1, *args, **changes):
    return a_worker(desire(view, TIMEOUT_S)[EntityKey("e-iris", str(number))], *args, **changes)


def failure(message="no", *, count=1, served=False):
    return Failure(count, 1e9, message, served)


def events(before, after):
    return [(e.entity, e.type, e.message) for _, e in transitions(before, after, now_ms=7000)]


READY_WORKER = worker_of(ONLY_ONE)
STATES = {
    "waits for its turn": ({}, EntityState.PENDING, "Queued for a start."),
    "is being fetched": ({"fetching": {K1}}, EntityState.PENDING, "Fetching the model files."),
    "waits for its environment": (
        {"needs": {K1: a_need(key="a")}},
        EntityState.BUILDING,
        "Queued for an environment build.",
    ),
    "has its environment built": (
        {"needs": {K1: a_need(key="a")}, "building": {"a": "Resolved 58 packages"}},
        EntityState.BUILDING,
        "Building the environment (Python 3.11, by uv; it says so): Resolved 58 packages",
    ),
    "has an environment that could not be built": (
        {"needs": {K1: a_need(key="a")}, "failures": {K1: failure("zzz==1 does not exist.")}},
        EntityState.FAILED,
        "zzz==1 does not exist.",
    ),
    "is being launched": ({"launching": {K1: 1}}, EntityState.LAUNCHING, "Loading the model."),
    "has a worker that is starting": (
        {"launching": {K1: 1}, "workers": (worker_of(ONLY_ONE, phase=WorkerPhase.STARTING),)},
        EntityState.LAUNCHING,
        "Loading the model.",
    ),
    "has a ready worker": ({"workers": (READY_WORKER,)}, EntityState.READY, ""),
    "has a ready worker and starts another": (
        {"workers": (READY_WORKER,), "launching": {K1: 1}},
        EntityState.READY,
        "",
    ),
    "has a ready worker though another start failed": (
        {"workers": (READY_WORKER,), "failures": {K1: failure()}},
        EntityState.READY,
        "",
    ),
    "could not be started": ({"failures": {K1: failure("bad pickle")}}, EntityState.FAILED, "bad pickle"),
    "is tried again after it could not be started": (
        {"failures": {K1: failure("bad pickle")}, "launching": {K1: 1}},
        EntityState.FAILED,
        "bad pickle",
    ),
    "died once while it served": (
        {"failures": {K1: failure("died", served=True)}},
        EntityState.PENDING,
        "Restarting: died",
    ),
    "is restarted": (
        {"failures": {K1: failure("died", served=True)}, "launching": {K1: 1}},
        EntityState.LAUNCHING,
        "Restarting: died",
    ),
    "keeps dying": ({"failures": {K1: failure("died", count=CRASH_LOOP, served=True)}}, EntityState.FAILED, "died"),
    "has only a dead worker": (
        {"workers": (worker_of(ONLY_ONE, phase=WorkerPhase.DEAD),)},
        EntityState.PENDING,
        "Queued for a start.",
    ),
    "has only a worker on its way out": (
        {"workers": (READY_WORKER,), "stopping": {"w"}},
        EntityState.PENDING,
        "Queued for a start.",
    ),
}


@pytest.mark.parametrize("case", STATES)
def test_the_state_of_a_version_that(case):
    observed, state, message = STATES[case]
    version = entity_of(ONLY_ONE, **observed)
    assert (version.state, version.message) == (state, message)


def test_one_who_describes_again_and_again_finds_what_one_who_begins_anew_finds():
    again, before = Describer(TIMEOUT_S), NOBODY
    desired, both = desire(ONLY_ONE, TIMEOUT_S), desire(BOTH, TIMEOUT_S)
    turns = [(ONLY_ONE, desired, Observed(**observed)) for observed, *_ in STATES.values()]
    turns += [(BOTH, both, turn[2]) for turn in turns] + turns
    for now_ms, (view, wanted, seen) in enumerate(turns):
        replicas = scale(wanted)
        found = again.describe(view, wanted, replicas, seen, before, now_ms=now_ms)
        assert found == Describer(TIMEOUT_S).describe(view, wanted, replicas, seen, before, now_ms=now_ms)
        before = found


def test_what_has_not_changed_is_described_once():
    describer, desired = Describer(TIMEOUT_S), desire(BOTH, TIMEOUT_S)
    failed = Observed(failures={K2: failure("bad pickle")})
    before = describer.describe(BOTH, desired, scale(desired), Observed(), NOBODY, now_ms=1)
    after = describer.describe(BOTH, desired, scale(desired), failed, before, now_ms=2)
    assert after.entities[str(K1)] is before.entities[str(K1)]
    assert after.entities[str(K2)].state is EntityState.FAILED
    again = describer.describe(BOTH, desired, scale(desired), failed, after, now_ms=3)
    assert again.endpoints["default/iris"] is after.endpoints["default/iris"]


def test_a_version_s_route_says_where_its_workers_answer_and_what_they_say():
    worker = worker_of(ONLY_ONE, note="Batching on: verified on 12 rows.")
    version = entity_of(ONLY_ONE, workers=(worker,), needs={K1: a_need("/models/1")})
    (route,) = version.workers
    assert (route.worker_id, route.protocol, route.address, route.pid) == ("w", "http", "/run/w.sock", 4711)
    assert route.ready
    assert (version.stage, version.model_dir, version.note) == ("Production", "/models/1", worker.note)


def test_a_worker_on_another_host_is_routed_with_its_secret_and_without_a_pid():
    far = worker_of(ONLY_ONE, protocol="frames", address="tcp://10.0.0.7:9000", pid=None, secret="s3cret")
    (route,) = entity_of(ONLY_ONE, workers=(far,)).workers
    assert (route.address, route.pid, route.secret) == ("tcp://10.0.0.7:9000", None, "s3cret")
    assert "s3cret" not in f"{far} {route}"


def test_a_worker_that_is_starting_is_named_and_not_ready():
    version = entity_of(ONLY_ONE, workers=(worker_of(ONLY_ONE, phase=WorkerPhase.STARTING),))
    assert [worker.ready for worker in version.workers] == [False]
    assert version.ready_workers == ()


def test_dead_workers_and_those_on_their_way_out_get_no_requests():
    workers = (worker_of(ONLY_ONE, 1, "dead", WorkerPhase.DEAD), worker_of(ONLY_ONE, 1, "going"))
    version = entity_of(ONLY_ONE, workers=workers, stopping={"going"})
    assert version.workers == ()


def test_an_outdated_worker_answers_until_its_successor_is_ready():
    version = entity_of(ONLY_ONE, workers=(worker_of(ONLY_ONE, fingerprint="old"),), launching={K1: 1})
    assert version.state is EntityState.READY
    assert len(version.ready_workers) == 1


def test_a_state_that_lasts_keeps_its_beginning():
    first = routes_of(ONLY_ONE, now_ms=1000)
    later = routes_of(ONLY_ONE, before=first, now_ms=2000, fetching={K1})
    assert later.entities["e-iris/1"].since_ms == 1000


def test_a_new_state_begins_now():
    first = routes_of(ONLY_ONE, now_ms=1000)
    later = routes_of(ONLY_ONE, before=first, now_ms=2000, launching={K1: 1})
    assert later.entities["e-iris/1"].since_ms == 2000


def test_a_rename_leaves_the_beginning_of_each_state_alone():
    first = routes_of(ONLY_ONE, now_ms=1000)
    renamed = a_view((an_endpoint("rose", id="e-iris"), a_model("rose", a_version(1, "Production"))))
    later = routes_of(renamed, before=first, now_ms=2000)
    assert later.entities["e-iris/1"].since_ms == 1000
    assert events(first, later) == []


ENDPOINT_STATES = {
    "none active": (a_view((an_endpoint(), a_model("iris", a_version(1, "Archived")))), {}, EndpointState.EMPTY),
    "none started": (BOTH, {}, EndpointState.STARTING),
    "one ready": (BOTH, {"workers": (worker_of(BOTH, 1),)}, EndpointState.READY),
    "one failed, one starting": (BOTH, {"failures": {K1: failure()}}, EndpointState.STARTING),
    "one failed, one ready": (
        BOTH,
        {"failures": {K1: failure()}, "workers": (worker_of(BOTH, 2),)},
        EndpointState.DEGRADED,
    ),
    "all failed": (BOTH, {"failures": {K1: failure(), K2: failure()}}, EndpointState.FAILED),
}


@pytest.mark.parametrize("case", ENDPOINT_STATES)
def test_the_state_of_an_endpoint_with_versions_of_which(case):
    view, observed, state = ENDPOINT_STATES[case]
    assert endpoint_of(view, **observed).state is state


def test_a_failed_endpoint_gives_the_newest_version_s_reason():
    endpoint = endpoint_of(BOTH, failures={K1: failure("old reason"), K2: failure("new reason")})
    assert "Version 2: new reason" in endpoint.message
    assert "old reason" not in endpoint.message


def test_an_endpoint_without_active_version_says_what_happens_next():
    view = a_view((an_endpoint(), a_model("iris")))
    assert endpoint_of(view).message == "No active version. The next version registered will be served."


def test_a_serving_endpoint_tells_which_entity_the_registry_lacks():
    entities = tuple(
        ServedEntity(name, "iris", version, 1, EndpointConfig()) for name, version in (("a", "1"), ("b", "@x"))
    )
    config = ServedConfig(0, entities, (("a", 50), ("b", 50)))
    spec = ServingSpec("alice", 1, 1).begin(config, 1).succeed(2)
    endpoint = endpoint_of(a_view((replace(an_endpoint("split"), spec=spec), a_model("iris", a_version(2)))))
    assert endpoint.state is EndpointState.FAILED
    assert endpoint.message == "The registry has no such version of the model of entities 'a', 'b'."


def test_an_endpoint_whose_model_was_not_read_yet_is_starting():
    endpoint = an_endpoint()
    assert endpoint_of(View({endpoint.id: endpoint}, {})).state is EndpointState.STARTING


def test_versions_that_are_not_served_are_named_with_the_reason():
    model = a_model("iris", a_version(1, "Archived"), a_version(2), a_version(3, status="PENDING_REGISTRATION"))
    inactive = endpoint_of(a_view((an_endpoint(), model))).inactive
    assert inactive == {"1": "archived", "3": "not registered completely"}


def test_a_version_is_changing_until_its_workers_are_those_that_the_configuration_asks_for():
    two = a_view((an_endpoint(replicas=2), a_model("iris", a_version(1))))
    first, second = worker_of(two, 1, "w"), worker_of(two, 1, "w2")
    old = worker_of(two, 1, "old", fingerprint="before")
    assert entity_of(two, workers=(first,)).changing
    assert entity_of(two, workers=(first, second, old)).changing
    assert not entity_of(two, workers=(first, second)).changing


def test_a_failed_version_is_settled_though_its_workers_are_still_to_come():
    found = entity_of(ONLY_ONE, failures={K1: failure()})
    assert (found.state, found.changing, found.settled) == (EntityState.FAILED, True, True)


def test_a_failed_version_says_when_it_is_tried_again():
    assert entity_of(ONLY_ONE, failures={K1: replace(failure(), retry_ms=77)}).retry_ms == 77


def test_the_generation_is_that_of_the_endpoint_as_it_was_read():
    endpoint = replace(an_endpoint(), generation=4)
    assert endpoint_of(a_view((endpoint, a_model()))).generation == 4


def test_aliases_of_versions_that_are_not_served_are_left_out():
    model = a_model("iris", a_version(1), a_version(2, "Archived"), champion=1, old=2, gone=9)
    assert endpoint_of(a_view((an_endpoint(), model))).aliases == {"champion": "1"}


def test_the_endpoint_s_own_timeout_and_dialect_are_published():
    own = endpoint_of(a_view((an_endpoint(request_timeout_s=2.5, default_dialect="legacy"), a_model())))
    default = endpoint_of(a_view((an_endpoint(), a_model())))
    assert (own.config.request_timeout_s, own.config.default_dialect) == (2.5, "legacy")
    assert (default.config.request_timeout_s, default.config.default_dialect) == (TIMEOUT_S, "modern")


def test_the_life_of_a_version_is_told_once_a_step():
    there = {"needs": {K1: a_need("/m")}}
    steps = [
        {},
        {"fetching": {K1}},
        {"needs": {K1: a_need("/m", key="a")}},
        {"needs": {K1: a_need("/m", key="a")}, "building": {"a": "Resolved 58 packages"}},
        {"launching": {K1: 1}, **there},
        {"launching": {K1: 1}, "workers": (worker_of(ONLY_ONE, phase=WorkerPhase.STARTING),), **there},
        {"workers": (READY_WORKER,), **there},
        {"workers": (READY_WORKER,), **there},
    ]
    told, before = [], NOBODY
    for step in steps:
        after = routes_of(ONLY_ONE, before=before, **step)
        told += [(number, kind) for number, kind, _ in events(before, after)]
        before = after
    assert told == [
        ("1", "VERSION_PENDING"),
        (None, "ENDPOINT_STARTING"),
        ("1", "VERSION_BUILDING"),
        ("1", "VERSION_LAUNCHING"),
        ("1", "VERSION_ENVIRONMENT"),
        ("1", "VERSION_READY"),
        (None, "ENDPOINT_READY"),
    ]


def test_an_event_belongs_to_its_endpoint_and_moment():
    after = routes_of(ONLY_ONE)
    for endpoint_id, event in transitions(NOBODY, after, now_ms=7000):
        assert (endpoint_id, event.timestamp_ms, event.workspace, event.name) == ("e-iris", 7000, "default", "iris")


def test_a_failure_is_told_with_its_reason_and_again_when_the_reason_changes():
    waiting = routes_of(ONLY_ONE)
    first = routes_of(ONLY_ONE, before=waiting, failures={K1: failure("one reason")})
    same = routes_of(ONLY_ONE, before=first, failures={K1: failure("one reason", count=2)})
    other = routes_of(ONLY_ONE, before=same, failures={K1: failure("another reason", count=3)})
    assert ("1", "VERSION_FAILED", "one reason") in events(waiting, first)
    assert events(first, same) == []
    assert events(same, other) == [("1", "VERSION_FAILED", "another reason")]


def test_a_version_that_leaves_drains_until_its_workers_are_gone():
    one, two = worker_of(BOTH, 1), worker_of(BOTH, 2, "w2")
    before = routes_of(BOTH, workers=(one, two))
    leaving = routes_of(ONLY_ONE, before=before, workers=(one, two), stopping={"w2"}, now_ms=6000)
    entity = leaving.entities["e-iris/2"]
    assert (entity.state, entity.message, entity.since_ms) == (
        EntityState.DRAINING,
        "No longer active; requests in flight finish.",
        6000,
    )
    # Its worker stays named, so that connections to it are kept, and gets no request.
    assert ([worker.worker_id for worker in entity.workers], entity.ready_workers) == (["w2"], ())
    (endpoint,) = leaving.endpoints.values()
    assert (endpoint.entities, endpoint.draining, endpoint.latest) == (("1",), ("2",), "1")
    later = routes_of(ONLY_ONE, before=leaving, workers=(one, two), stopping={"w2"}, now_ms=7000)
    assert later.entities == leaving.entities
    gone = routes_of(ONLY_ONE, before=later, workers=(one,))
    assert list(gone.entities) == ["e-iris/1"]
    told = [events(a, b) for a, b in ((before, leaving), (leaving, later), (later, gone))]
    assert [[(name, kind) for name, kind, _ in step] for step in told] == [
        [("2", "VERSION_DRAINING")],
        [],
        [("2", "VERSION_REMOVED")],
    ]


@pytest.mark.parametrize("phase", [WorkerPhase.DEAD, WorkerPhase.STARTING])
def test_a_version_that_leaves_without_a_worker_that_serves_is_gone_at_once(phase):
    before = routes_of(BOTH)
    never_ready = worker_of(BOTH, 2, phase=phase, ready_since_ms=None)
    after = routes_of(ONLY_ONE, before=before, workers=(never_ready,))
    assert [(name, kind) for name, kind, _ in events(before, after)] == [("2", "VERSION_REMOVED")]


def test_a_version_that_is_active_again_while_it_drains_is_served_by_new_workers():
    before = routes_of(ONLY_ONE, workers=(READY_WORKER,))
    leaving = routes_of(a_view((an_endpoint(), a_model())), before=before, workers=(READY_WORKER,), stopping={"w"})
    again = routes_of(ONLY_ONE, before=leaving, workers=(READY_WORKER,), stopping={"w"})
    assert again.entities["e-iris/1"].state is EntityState.PENDING
    assert again.entities["e-iris/1"].workers == ()


def test_an_endpoint_whose_sandbox_may_not_be_off_says_that_it_is_on():
    endpoint = (an_endpoint(sandbox="off"), a_model("iris", a_version(1)))
    notes = [
        routes_of(a_view(endpoint), workers=(worker_of(a_view(endpoint), note=word),)).entities[str(K1)].note
        for word in ("Batching on: sklearn.", "")
    ]
    told = "The sandbox is on although the endpoint's is off: the server's operator does not permit off."
    assert notes == [f"Batching on: sklearn. {told}", told]


def test_a_worker_s_note_is_told_once_and_again_when_it_changes():
    def with_note(before, note):
        return routes_of(ONLY_ONE, before=before, workers=(replace(READY_WORKER, note=note),))

    silent = with_note(NOBODY, "")
    on = with_note(silent, "Batching on: verified on 12 rows.")
    still = with_note(on, "Batching on: verified on 12 rows.")
    off = with_note(still, "Batching off: answers differ.")
    assert events(silent, on) == [("1", "VERSION_BATCHING", "Batching on: verified on 12 rows.")]
    assert events(on, still) == []
    assert events(still, off) == [("1", "VERSION_BATCHING", "Batching off: answers differ.")]


def test_where_workers_run_is_told_when_it_changes_and_some_are_on_other_nodes():
    far = replace(READY_WORKER, worker_id="far", node="0123456789abcdef", address="tcp://[fd00::7]:2000/0123456789ab")

    def with_workers(before, *workers):
        return routes_of(ONLY_ONE, before=before, workers=workers)

    here = with_workers(NOBODY, READY_WORKER)
    both = with_workers(here, READY_WORKER, far)
    gone = with_workers(both, READY_WORKER)
    said = "Workers: 1 on [fd00::7] (node 01234567), 1 on the server's host."
    assert events(here, both) == [("1", "VERSION_PLACED", said)]
    assert events(both, with_workers(both, READY_WORKER, far)) == []
    assert events(both, gone) == []
    assert [placement(routes.entities[str(K1)].workers) for routes in (here, both)] == ["", said]


def test_a_version_that_refuses_its_own_example_says_so_when_it_gets_ready_and_beside_its_state():
    note = "The model refuses its own input example: ValueError, see the version's log. Other requests may be scored."
    refusing = replace(READY_WORKER, scored_example=False, example_form=None, example_note=note)
    routes = routes_of(ONLY_ONE, workers=(refusing,))
    (version,) = routes.entities.values()
    assert (version.state, version.explanation, version.example_form) == (EntityState.READY, note, None)
    assert ("1", "VERSION_READY", f"Serving: the model loaded. {note}") in events(NOBODY, routes)
    assert load_routes(dump_routes(routes)) == routes


def test_a_message_that_changes_within_a_state_is_no_event():
    waiting = routes_of(ONLY_ONE)
    fetching = routes_of(ONLY_ONE, before=waiting, fetching={K1})
    assert events(waiting, fetching) == []


def test_the_versions_of_a_disabled_endpoint_drain_though_the_endpoint_is_gone():
    before = routes_of(ONLY_ONE, workers=(READY_WORKER,))
    disabled = routes_of(View(), before=before, workers=(READY_WORKER,), stopping={"w"})
    assert disabled.endpoints == {}
    assert disabled.entities["e-iris/1"].state is EntityState.DRAINING
    gone = routes_of(View(), before=disabled)
    assert gone.entities == {}
    # That the endpoint was disabled is the store's to tell of.
    assert [kind for _, kind, _ in events(before, disabled) + events(disabled, gone)] == [
        "VERSION_DRAINING",
        "VERSION_REMOVED",
    ]


def test_what_a_worker_says_of_itself_can_always_be_published():
    # Its status file is JSON written next to a model's own code: "\ud800" and "\u0000" are valid there.
    worker = worker_of(ONLY_ONE, note="odd \ud800 \x00 note")
    after = routes_of(ONLY_ONE, workers=(worker,))
    assert load_routes(dump_routes(after)) == after
    assert "\x00" not in after.entities["e-iris/1"].note
