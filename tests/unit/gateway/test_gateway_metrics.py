"""What the gateway counts of each request, whatever becomes of it."""

from __future__ import annotations

import pytest
from support.gateway_fakes import IRIS, PREDICTED, routes, snapshot, version, worker_route

from mlflow_serving_plugin.access.noauth import NoAuth
from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.gateway.core import Gateway, HostServices
from mlflow_serving_plugin.gateway.messages import Head, Pause, ReadBody
from mlflow_serving_plugin.links.base import LostError, WorkerCall, WorkerReply
from mlflow_serving_plugin.metrics.counting import Metrics
from mlflow_serving_plugin.metrics.families import IN_FLIGHT, QUEUE_SECONDS, REQUEST_SECONDS, REQUESTS, WAITING
from mlflow_serving_plugin.metrics.files import read_totals
from mlflow_serving_plugin.metrics.usage import UsageReader
from mlflow_serving_plugin.settings import Settings

HEADERS = {"content-type": "application/json"}


class Counted:
    """A gateway, its steps taken one by one, on a clock of the test's own, and what it has counted."""

    def __init__(self, directory, published) -> None:
        self.now = 0.0
        self.directory = directory / "metrics"
        self._metrics = Metrics(self.directory)
        self._usage = UsageReader(self.directory)
        self._gateway = Gateway(
            Settings(max_in_flight=2),
            snapshot(directory / "routes.json", published),
            NoAuth(),
            HostServices(directory / "nudge", metrics=self._metrics),
            clock=lambda: self.now,
        )

    def begin(self, path="/model/iris/1/invocations", method="POST"):
        """The steps of a request and the first of them."""
        steps = self._gateway.respond(Head(method, path, HEADERS))
        return steps, next(steps)

    def answer(self, path="/model/iris/1/invocations", method="POST", reply=PREDICTED, body=IRIS):
        """The status of a request of a second, all of whose steps succeed, or lose the worker without a reply."""
        try:
            steps, step = self.begin(path, method)
            while True:
                if isinstance(step, WorkerCall):
                    self.now += 1.0
                    step = (
                        steps.send(WorkerReply(*reply, (100_000, 400_000, 0)))
                        if reply
                        else steps.throw(LostError("gone", sent=True))
                    )
                elif isinstance(step, ReadBody):
                    step = steps.send(body)
                else:
                    self.now += step.seconds
                    step = steps.send(None)
        except StopIteration as stop:
            return stop.value.status

    def used(self):
        """The versions that were asked since the last look, as the controller sees them."""
        assert self._metrics.flush()
        return self._usage.look()[1]

    @property
    def totals(self):
        assert self._metrics.flush()
        return read_totals(self.directory)

    def of(self, name):
        """All series of a metric that are not 0."""
        return {series[1:]: values for series, values in self.totals.items() if series[0] == name and any(values)}


@pytest.fixture
def counted(short):
    return Counted(short, routes(version(1, worker_route(short / "w1"), worker_route(short / "w2", "w2"))))


def test_requests_are_counted_by_version_and_status(counted):
    assert counted.answer() == 200
    assert counted.answer("/model/iris/latest/invocations") == 200
    assert counted.answer(reply=(400, "application/json", b'{"error_code": "BAD_REQUEST", "message": "no"}')) == 400
    assert counted.answer(reply=None) == 502
    assert counted.of(REQUESTS) == {("e1", "1", 200): [2], ("e1", "1", 400): [1], ("e1", "1", 502): [1]}


def test_a_request_that_is_refused_before_it_is_read_is_no_use_of_the_version_and_wakes_nothing(counted):
    assert counted.used() == set()
    assert counted.answer(body=b"{bad") == 400
    assert counted.used() == set()
    assert counted.of(REQUESTS) == {("e1", "1", 400): [1]}
    assert counted.answer(reply=(400, "application/json", b'{"error_code": "BAD_REQUEST", "message": "no"}')) == 400
    assert counted.used() == {("e1", "1")}
    assert counted.answer() == 200
    assert counted.answer(body=b"") == 400
    assert counted.used() == {("e1", "1")}
    assert counted.answer(body=b"") == 400
    assert counted.used() == set()


def test_duration_and_time_in_the_queue_are_told_apart(counted):
    counted.answer()
    *buckets, total = counted.totals[REQUEST_SECONDS, "e1", "1"]
    assert (sum(buckets), total) == (1, 1.0)
    *buckets, total = counted.totals[QUEUE_SECONDS, "e1", "1"]
    assert (sum(buckets), total) == (1, pytest.approx(0.5))


def test_what_names_no_served_model_makes_one_series_and_no_more(counted):
    paths = ["/model/nosuch/1/invocations", "/model/other/7/invocations", "/model/iris/9/invocations", "/model/x", "/"]
    for path in paths:
        assert counted.answer(path) == 404
    assert counted.answer(method="DELETE") == 405
    assert counted.of(REQUESTS) == {("", None, 404): [len(paths)], ("", None, 405): [1]}


def test_ping_and_schema_are_not_counted(counted):
    assert counted.answer("/model/iris/1/ping", "GET") == 200
    assert counted.answer("/model/iris/1/schema", "GET") == 503
    assert counted.of(REQUESTS) == {}


def test_a_request_is_in_flight_until_it_is_answered_or_its_client_leaves(counted):
    steps, _ = counted.begin()
    others, _ = counted.begin()
    assert counted.of(IN_FLIGHT) == {("e1", "1"): [2]}
    assert counted.answer() == 429
    steps.close()
    assert counted.of(IN_FLIGHT) == {("e1", "1"): [1]}
    others.close()
    assert counted.of(IN_FLIGHT) == {}
    assert counted.of(REQUESTS) == {("e1", "1", 429): [1], ("e1", "1", 499): [2]}


def test_a_request_that_is_held_for_a_worker_is_waiting(short):
    counted = Counted(short, routes(version(1, state=EntityState.LAUNCHING)))
    steps, _ = counted.begin()
    assert isinstance(steps.send(IRIS), Pause)
    assert counted.of(WAITING) == counted.of(IN_FLIGHT) == {("e1", "1"): [1]}
    steps.close()
    assert counted.of(WAITING) == {}
