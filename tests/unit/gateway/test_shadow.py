"""The shadow of a serving endpoint: what it scores, how answers agree, and what is dropped before callers wait."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.gateway_fakes import PREDICTED
from test_core import Bench
from test_split import URL, split

from mlflow_serving_plugin.domain.agreement import Agreement, agreement
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.domain.traffic import Shadow
from mlflow_serving_plugin.errors import DeadlineError
from mlflow_serving_plugin.gateway.shadow import DROPPED, ERROR
from mlflow_serving_plugin.host.differences import MOST, keep, read
from mlflow_serving_plugin.host.messages import Inbox, Wake
from mlflow_serving_plugin.links.base import LostError

BODY = json.dumps({"dataframe_split": {"columns": ["a"], "data": [[1]]}}).encode()
OTHER = (200, "application/json", b'{"predictions": [0, 2]}')


def routes(directory, *, percentage=100.0, state=EntityState.READY):
    """All callers are answered by ``a``, and ``b`` is the shadow."""
    made = split(directory)
    (key, endpoint), *_ = made.endpoints.items()
    shadowed = replace(endpoint, traffic=(("a.1", 100), ("b.1", 0)), shadow=Shadow("b.1", percentage, 0.01))
    shadow = made.entities["e1/b.1"]
    workers = shadow.workers if state is EntityState.READY else ()
    entities = {**made.entities, "e1/b.1": replace(shadow, state=state, workers=workers)}
    return replace(made, endpoints={key: shadowed}, entities=entities)


class Shadowed(Bench):
    """``ask`` sends a request; the shadow is answered with ``shadow``. ``results`` of the shadow so far."""

    def __init__(self, directory, **options):
        super().__init__(directory, routes(directory, **options))
        self.results = []
        self.gateway._metrics.count = lambda name, *labels: self.results.append(labels)

    def ask(self, shadow=PREDICTED, *, starts=True):
        reply = self.send(URL, body=BODY, workers=(PREDICTED,))
        assert (reply.status, reply.headers["served-model-name"]) == (200, "a")
        if reply.after is not None:
            reply.after(lambda aside: self._begin(aside, shadow, starts))
        return reply

    def _begin(self, aside, shadow, starts):
        if starts:
            steps, results = aside.steps, [shadow]
            try:
                step = next(steps)
                while True:
                    outcome = self._take(step, BODY, results)
                    step = steps.throw(outcome) if isinstance(outcome, Exception) else steps.send(outcome)
            except StopIteration:
                pass
        aside.reservation.release()
        return starts


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        (PREDICTED, "equal"),
        ((200, "application/json", b'{"predictions": [0, 1.001]}'), "within_tolerance"),
        (OTHER, "differs"),
        ((400, "application/json", b"{}"), ERROR),
        (LostError("reset", sent=True), ERROR),
        (DeadlineError("late"), ERROR),
    ],
)
def test_the_shadow_scores_the_same_body_after_the_answer_and_the_result_is_counted(short, answer, result):
    bench = Shadowed(short)
    bench.ask(answer)
    (first, second) = bench.calls
    assert first.body == second.body
    assert first.worker != second.worker
    assert bench.results == [("e1", "b.1", result)]
    assert bench.gateway.memory.taken == 0
    assert not bench.gateway.busy


def test_the_percentage_of_the_requests_is_scored_once_more(short):
    assert not any(Shadowed(short, percentage=0.0).ask().after for _ in range(20))
    bench = Shadowed(short, percentage=50.0)
    assert 10 < sum(bench.ask().after is not None for _ in range(200)) < 190


def test_a_driver_that_begins_no_aside_and_a_shadow_that_is_not_ready_drop_the_request(short):
    bench = Shadowed(short)
    bench.ask(starts=False)
    assert bench.results == [("e1", "b.1", DROPPED)]
    failed = Shadowed(short, state=EntityState.FAILED)
    failed.ask()
    assert (failed.results, len(failed.calls)) == ([("e1", "b.1", DROPPED)], 1)


def test_a_shadow_that_sleeps_is_woken_and_nothing_waits(short):
    inbox = Inbox(short / "nudge")
    bench = Shadowed(short, state=EntityState.ASLEEP)
    bench.ask()
    assert bench.results == [("e1", "b.1", DROPPED)]
    assert bench.paused_s == 0
    assert inbox.wait(5) == [Wake("e1", "b.1")]
    inbox.close()


def test_under_load_the_shadow_is_dropped(short):
    bench = Shadowed(short)
    slots = [bench.gateway._scoring._in_flight.slot(("e1", "a.1")) for _ in range(4)]
    bench.ask()
    slots[0].release()
    bench.ask()
    assert [result for *_, result in bench.results] == [DROPPED, "equal"]


def test_a_shadow_request_waits_for_a_moment_without_callers_but_not_for_long(short):
    bench = Shadowed(short)
    slot = bench.gateway._scoring._in_flight.slot(("e1", "a.1"))
    bench.on_pause = lambda: bench.paused_s > 0.01 and slot.release()
    bench.ask()
    assert (bench.results[-1][-1], 0.01 < bench.paused_s < 0.02) == ("equal", True)
    bench.on_pause, bench.paused_s = lambda: None, 0.0
    bench.gateway._scoring._in_flight.slot(("e1", "a.1"))
    bench.ask()
    assert (bench.results[-1][-1], 0.05 < bench.paused_s < 0.2) == ("equal", True)
    bench.on_pause = lambda: bench.gateway._scoring._in_flight.slot(("e1", "a.1"))
    bench.ask()
    assert bench.results[-1][-1] == DROPPED


def test_a_flood_of_slow_shadow_requests_leaves_the_workers_of_the_shadow_alone(short):
    bench, begun = Shadowed(short), []
    for _ in range(10):
        bench.send(URL, body=BODY, workers=(PREDICTED,)).after(lambda aside: begun.append(aside) or True)
    assert len(begun) == 2
    assert [result for *_, result in bench.results] == [DROPPED] * 8
    for aside in begun:
        aside.reservation.release()
    bench.ask()
    assert bench.results[-1][-1] == "equal"


def test_an_entity_of_its_own_is_asked_without_the_shadow(short):
    bench = Shadowed(short)
    url = "/serving-endpoints/split/served-models/a/invocations"
    assert bench.send(url, body=BODY, workers=(PREDICTED,)).after is None


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        (b"[1, 2]", b"[1,2.0]", Agreement.EQUAL),
        (b"[1000]", b"[1000.5]", Agreement.WITHIN_TOLERANCE),
        (b"[0.001]", b"[0.0015]", Agreement.WITHIN_TOLERANCE),
        (b"[1000]", b"[1002]", Agreement.DIFFERS),
        (b'{"a": [1.0001, "x"]}', b'{"a": [1, "x"]}', Agreement.WITHIN_TOLERANCE),
        (b'{"a": 1}', b'{"b": 1}', Agreement.DIFFERS),
        (b"[1, 2]", b"[1]", Agreement.DIFFERS),
        (b"[true]", b"[1]", Agreement.DIFFERS),
        (b'["1"]', b"[1]", Agreement.DIFFERS),
        (b"[null]", b"[0]", Agreement.DIFFERS),
        (b"\xff", b"[0]", Agreement.DIFFERS),
        (b"\xff", b"\xff", Agreement.EQUAL),
    ],
)
def test_answers_agree_by_their_values_and_places(one, other, found):
    assert agreement(one, other, 0.001) is found
    assert agreement(other, one, 0.001) is found


def test_the_last_hundred_differences_are_kept(tmp_path):
    for start in (0, 80):
        keep(tmp_path / "shadow", "e1", ({"request_id": number} for number in range(start, start + 80)))
    assert [found["request_id"] for found in read(tmp_path / "shadow", "e1")] == list(range(60, 160))
    assert len(read(tmp_path / "shadow", "e1")) == MOST
    assert read(tmp_path / "shadow", "e2") == []
