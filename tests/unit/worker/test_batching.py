"""Batching proves itself, and one request's error is nobody else's."""

from __future__ import annotations

import asyncio
import json
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from worker_models import Scorer, pyfunc, scorer_of

from mlflow_serving_plugin.worker import batching, under_way, waiting, wire
from mlflow_serving_plugin.worker.batching import Verdict, decide, verify
from mlflow_serving_plugin.worker.counts import Counts, Histogram, records
from mlflow_serving_plugin.worker.engine import Engine
from mlflow_serving_plugin.worker.status import StatusFile

JSON = "application/json"
COLUMNS = [("a", "double"), ("b", "double")]
EXAMPLE = (JSON, b'{"dataframe_split": {"columns": ["a", "b"], "data": [[1.0, 2.0]]}}')
ON = Verdict(True, "for a test")


class Peer:
    def __init__(self):
        self.data = b""

    def send(self, data):
        self.data += data

    def close(self):
        pass

    def hold(self, reason, on):
        pass

    def frames(self):
        return list(wire.Decoder().feed(self.data))

    def answers(self):
        """id → (status, body), None for one that was dropped."""
        return {f.id: self._answer(f) for f in self.frames()}

    def order(self):
        return [f.id for f in self.frames()]

    @staticmethod
    def _answer(frame):
        if frame.kind == wire.DROPPED:
            return None
        response = wire.decode_response(frame)
        return response.status, response.body


def body(*rows):
    return json.dumps({"dataframe_records": [{"a": row[0], "b": row[1]} for row in rows]}).encode()


def request(payload, timeout_ms=60_000, content_type=JSON):
    return wire.Request(timeout_ms, content_type, payload)


def sums(data):
    return (data["a"] + data["b"]).to_numpy()


class Recorded:
    """A row-wise function that remembers how many rows each call had."""

    def __init__(self, function=sums):
        self.calls = []
        self._function = function

    def __call__(self, data):
        self.calls.append(len(data))
        return self._function(data)


def serve(scorer, requests, tmp_path, verdict=ON, max_batch_rows=256):
    """All requests come at once; the peer that got the answers."""

    async def main():
        peer = Peer()
        running = Engine(scorer, verdict, max_batch_rows, StatusFile(str(tmp_path / "status")))
        for number, one in enumerate(requests):
            running.take(peer, number, one)
        while running.busy:
            await asyncio.sleep(0)
        return peer

    return asyncio.run(main())


def test_what_waits_is_scored_by_one_call(tmp_path):
    model = Recorded()
    scorer = scorer_of(COLUMNS, model)
    model.calls.clear()
    answers = serve(scorer, [request(body((n, 0.5), (n, 1.5))) for n in range(20)], tmp_path).answers()
    assert model.calls == [40]
    assert answers == {n: (200, json.dumps({"predictions": [n + 0.5, n + 1.5]}).encode()) for n in range(20)}


def test_the_rows_of_each_call_are_counted(tmp_path):
    counts = Counts(str(tmp_path / "counts"))
    rows = Histogram(counts, "rows", (1, 2, 4))

    async def main():
        engine = Engine(scorer_of(COLUMNS, sums), ON, 3, StatusFile(str(tmp_path / "status")), batch_rows=rows)
        for number, size in enumerate((2, 1, 3)):
            engine.take(Peer(), number, request(body(*[(1, 0.5)] * size)))
        while engine.busy:
            await asyncio.sleep(0)

    asyncio.run(main())
    counts.flush()
    assert dict(records((tmp_path / "counts").read_bytes())) == {"rows": (0, 0, 2, 0, 6)}


def test_with_batching_off_each_is_scored_alone_and_in_order(tmp_path):
    model = Recorded()
    scorer = scorer_of(COLUMNS, model)
    model.calls.clear()
    peer = serve(scorer, [request(body((n, 0.5))) for n in range(5)], tmp_path, Verdict(False, "off"))
    assert model.calls == [1] * 5
    assert peer.order() == [0, 1, 2, 3, 4]


async def looked_up(values):
    await asyncio.sleep(0)
    return values


@pytest.mark.parametrize("verdict", [ON, Verdict(False, "off")])
def test_a_library_model_may_run_an_event_loop_batched_or_not(tmp_path, verdict):
    scorer = scorer_of(COLUMNS, lambda data: asyncio.run(looked_up(sums(data))))
    answers = serve(scorer, [request(body((n, 0.5))) for n in range(3)], tmp_path, verdict).answers()
    assert answers == {n: (200, json.dumps({"predictions": [n + 0.5]}).encode()) for n in range(3)}


def no_negatives(data):
    if (data["a"] < 0).any():
        raise ValueError("negative")
    return sums(data)


INVALID = [
    request(b"{"),
    request(b'{"dataframe_records": [{"a": 1.0}]}'),
    request(body(("x", 1.0))),
    request(body((1.0, 1.0)), content_type="text/html"),
    request(body((-1.0, 1.0))),
    request(body((1.0, 1.0), (-1.0, 1.0))),
]


@pytest.mark.filterwarnings("ignore")
def test_an_invalid_request_fails_as_it_does_alone_and_those_beside_it_do_not(tmp_path):
    scorer = scorer_of(COLUMNS, no_negatives)
    mixed = []
    for number, invalid in enumerate(INVALID):
        mixed += [request(body((number, 1.0))), invalid, request(body((number, 2.0)))]
    answers = serve(scorer, mixed, tmp_path).answers()
    for number, invalid in enumerate(INVALID):
        alone = scorer.score(invalid.content_type, invalid.body)
        assert alone.status >= 400
        status, said = answers[3 * number + 1]
        assert status == alone.status
        assert without_lines(said) == without_lines(alone.body)
        for offset, added in ((0, 1.0), (2, 2.0)):
            assert answers[3 * number + offset] == (200, json.dumps({"predictions": [number + added]}).encode())


def without_lines(said):
    """An error without its traceback, which names where it was called from."""
    try:
        answer = json.loads(said)
    except ValueError:
        return said
    answer.pop("stack_trace", None)
    return answer


def test_a_request_for_mlflows_own_way_keeps_no_answers_waiting(tmp_path):
    scorer = scorer_of(COLUMNS, sums)
    peer = Peer()
    sent_before = []

    def score(content_type, payload):
        sent_before.append(peer.order())
        return original(content_type, payload)

    original, scorer.score = scorer.score, score

    async def main():
        running = Engine(scorer, ON, 256, StatusFile(str(tmp_path / "status")))
        for number, payload in enumerate([body((1.0, 1.0)), b"{", body((2.0, 1.0)), b"{", b"{"]):
            running.take(peer, number, request(payload))
        while running.busy:
            await asyncio.sleep(0)

    asyncio.run(main())
    assert sent_before == [[0], [0, 1, 2], [0, 1, 2, 3]]


@pytest.mark.parametrize(("limit", "calls"), [(4, [3, 3, 3]), (6, [6, 3]), (9, [9]), (2, [3, 3, 3])])
def test_no_batch_has_more_rows_than_allowed_unless_one_request_has(tmp_path, limit, calls):
    model = Recorded()
    scorer = scorer_of(COLUMNS, model)
    model.calls.clear()
    serve(scorer, [request(body((1, 0), (2, 0), (3, 0.5))) for _ in range(3)], tmp_path, max_batch_rows=limit)
    assert model.calls == calls


@pytest.mark.parametrize(
    "output",
    [
        lambda data: data[["b", "a"]],
        lambda data: data["b"],
        lambda data: data["b"].tolist(),
        lambda data: data.to_numpy(),
        lambda data: data["a"].to_numpy(),
        lambda data: np.array([f"é{value}" for value in data["a"]]),
        lambda data: [{"label": value, "more": [value]} for value in data["a"]],
        lambda data: tuple(data["a"]),
        lambda data: pd.Series(data["a"].to_numpy(), index=[f"row {n}" for n in range(len(data))]),
    ],
    ids=["frame", "series", "list", "2-D", "1-D", "text", "dicts", "tuple", "labelled"],
)
def test_an_output_of_any_shape_is_split_as_each_alone_would_have_got_it(tmp_path, output):
    model = Recorded(output)
    scorer = scorer_of(COLUMNS, model)
    requests = [request(body(*[(n + row / 4, -n) for row in range(1 + n % 3)])) for n in range(6)]
    model.calls.clear()
    answers = serve(scorer, requests, tmp_path).answers()
    assert model.calls == [12]
    for number, one in enumerate(requests):
        assert answers[number] == (200, scorer.score(JSON, one.body).body)


@pytest.mark.parametrize(
    "output",
    [lambda data: {"a": data["a"].tolist()}, lambda _: "abc", lambda data: float(data["a"].sum()), lambda _: [1, 2]],
    ids=["dict", "string", "number", "fixed"],
)
def test_an_output_that_is_not_one_element_per_row_is_never_cut(tmp_path, output):
    scorer = scorer_of(COLUMNS, output)
    requests = [request(body((n, 1.0))) for n in range(3)]
    answers = serve(scorer, requests, tmp_path).answers()
    assert answers == {n: (200, scorer.score(JSON, one.body).body) for n, one in enumerate(requests)}


def test_what_nobody_waits_for_is_dropped_and_said_to_be(tmp_path):
    model = Recorded()
    scorer = scorer_of(COLUMNS, model)
    model.calls.clear()

    async def main():
        peer = Peer()
        running = Engine(scorer, ON, 256, StatusFile(str(tmp_path / "status")))
        running.take(peer, 1, request(body((1, 1.5)), timeout_ms=0))
        running.take(peer, 2, request(body((2, 1.5))))
        running.take(peer, 3, request(body((3, 1.5))))
        running.under_way.cancel(peer, 2)
        running.under_way.cancel(peer, 77)
        gone = Peer()
        running.take(gone, 1, request(body((4, 1.5))))
        running.under_way.drop(gone)
        while running.busy:
            await asyncio.sleep(0)
        return peer

    assert asyncio.run(main()).answers() == {1: None, 2: None, 3: (200, b'{"predictions": [4.5]}')}
    assert model.calls == [1]


def test_threads_drop_what_nobody_waits_for_too(tmp_path):
    scorer = scorer_of(COLUMNS, sums, "a_module_of_the_model")
    peer = serve(scorer, [request(body((1, 1.5)), timeout_ms=0)], tmp_path, Verdict(False, "custom"))
    assert peer.answers() == {0: None}


def exits(_data):
    raise SystemExit(1)


@pytest.mark.parametrize(("flavor", "verdict"), [("mlflow.sklearn", ON), ("custom", Verdict(False, ""))])
def test_a_model_that_exits_ends_its_request_only(tmp_path, flavor, verdict):
    scorer = scorer_of(COLUMNS, exits, flavor)
    answers = serve(scorer, [request(body((n, 1.5))) for n in range(3)], tmp_path, verdict).answers()
    assert [status for status, _ in answers.values()] == [500] * 3


def test_an_error_inside_the_engine_does_not_stop_it(tmp_path):
    scorer = scorer_of(COLUMNS, sums)
    original = scorer.score

    def fails_once(content_type, payload):
        scorer.score = original
        raise MemoryError

    scorer.score = fails_once

    async def main():
        peer = Peer()
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        running = Engine(scorer, ON, 256, StatusFile(str(tmp_path / "status")))
        running.take(peer, 1, request(b"{"))
        running.take(peer, 2, request(body((1, 1.5))))
        while 2 not in peer.answers():
            await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(main(), 10))


def test_an_answer_too_large_for_a_frame_is_an_error_of_its_own_request(tmp_path):
    scorer = scorer_of(COLUMNS, lambda data: ["x" * int(value) for value in data["a"]])
    with mock.patch.object(waiting, "LARGEST_ANSWER", 1000):
        answers = serve(scorer, [request(body((5, 1.5))), request(body((5000, 1.5)))], tmp_path).answers()
    assert answers[0][0] == 200
    assert answers[1][0] == 500
    assert b"over the limit" in answers[1][1]


def test_connections_are_held_while_too_much_waits_and_let_go_after(tmp_path):
    scorer = scorer_of(COLUMNS, sums)
    held = []

    async def main():
        peer = Peer()
        peer.hold = lambda reason, on: held.append(on)
        running = Engine(scorer, ON, 2, StatusFile(str(tmp_path / "status")))
        running.under_way.connections.add(peer)
        for number in range(8):
            running.take(peer, number, request(body((number, 1.5), (1, 1.5))))
        while running.busy:
            await asyncio.sleep(0)

    with mock.patch.object(under_way, "_READ_AT_MOST_BYTES", 200):
        asyncio.run(main())
    assert held == [True, False]


class Numbers:
    """An input that is no table: a list of numbers, one prediction each. Decodes bodies too."""

    group = params = None

    def __init__(self, values=()):
        self.values = list(values)
        self.count = len(self.values)

    def join(self, others):
        return Numbers(sum((other.values for other in others), self.values))

    def row(self, index):
        return Numbers([self.values[index]])

    def varied(self):
        return Numbers(value + 0.5 for value in self.values)

    def model_input(self):
        return np.array(self.values)

    def same_input(self, seen):
        return np.array_equal(seen, self.values)

    def body(self):
        return json.dumps({"inputs": self.values}).encode()

    def decode(self, payload):
        return Numbers(json.loads(payload)["inputs"])

    def probes(self):
        return [Numbers([1.0, 2.0, 3.0])]


def test_another_kind_of_input_is_verified_batched_and_checked_like_rows(tmp_path):
    model = Recorded(lambda data: data * 2)
    scorer = scorer_of(COLUMNS, model)
    scorer.decoder = Numbers()
    verdict = verify(scorer, (JSON, b'{"inputs": [7.0]}'))
    assert verdict.on
    assert "verified on 5 rows" in verdict.why
    model.calls.clear()
    with mock.patch.object(batching, "CHECK_EVERY", 1):
        bodies = [b'{"inputs": [1.0, 2.0]}', b'{"inputs": [3.0]}']
        answers = serve(scorer, [request(one) for one in bodies], tmp_path, verdict).answers()
    assert answers == {0: (200, b'{"predictions": [2.0, 4.0]}'), 1: (200, b'{"predictions": [6.0]}')}
    assert model.calls == [3, 1, 1, 1]


# Verdicts


@pytest.fixture
def quick():
    """A model that is quick enough for calls of every size, however loaded the machine."""
    with mock.patch.object(batching, "_FURTHER_S", (1e6, 1e6)):
        yield


ALL_SIZES = "verified on 6 rows, in calls of 1, 2, 6, 7, 32, 100 and 256 rows"


@pytest.mark.usefixtures("quick")
def test_a_row_wise_model_is_verified_on_its_example_and_made_rows():
    model = Recorded()
    scorer = scorer_of(COLUMNS, model)
    model.calls.clear()
    assert verify(scorer, EXAMPLE) == Verdict(True, ALL_SIZES)
    assert model.calls == [1] * 6 + [6, 2, 7, 32, 100, 256]


def changes_from(size):
    """A model that computes in another way from so many rows on."""
    return lambda data: sums(data) + (len(data) >= size)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("flavor", ["mlflow.sklearn", "a_module_of_the_model"])
@pytest.mark.parametrize("size", [2, 3, 8, 33, 101, 256])
def test_a_model_whose_answer_changes_with_the_size_of_the_call_is_refused(flavor, size):
    verdict = decide(scorer_of(COLUMNS, changes_from(size), flavor), "on", EXAMPLE)
    assert not verdict.on
    assert "rows scored together and one by one give different answers" in verdict.why


@pytest.mark.usefixtures("quick")
def test_a_model_that_takes_few_rows_at_once_is_batched_within_max_batch_rows():
    def few(data):
        if len(data) > 64:
            raise ValueError
        return sums(data)

    assert decide(scorer_of(COLUMNS, few), "on", EXAMPLE).why == "100 rows scored together raised ValueError"
    within = "switched on; verified on 6 rows, in calls of 1, 2, 6, 7 and 32 rows"
    assert decide(scorer_of(COLUMNS, few), "on", EXAMPLE, 64).why == within
    assert verify(scorer_of(COLUMNS, few), EXAMPLE, 1) == Verdict(True, "verified on 6 rows, in calls of 1 row")


def test_further_calls_that_would_take_long_are_left_out():
    model = Recorded()
    scorer = scorer_of(COLUMNS, model)
    model.calls.clear()
    with mock.patch.object(batching, "_FURTHER_S", (0.0, 0.0)):
        assert verify(scorer, EXAMPLE) == Verdict(True, "verified on 6 rows, in calls of 1 and 6 rows")
    assert model.calls == [1] * 6 + [6]


def test_a_model_that_subtracts_the_batch_mean_is_refused():
    verdict = decide(scorer_of(COLUMNS, lambda data: data["a"] - data["a"].mean()), "on", EXAMPLE)
    assert not verdict.on
    assert "different" in verdict.why


@pytest.mark.parametrize("example", [None, EXAMPLE, (JSON, b"{"), ("text/csv", b"a,b\n1,2\n")])
def test_a_model_that_looks_at_its_neighbours_is_refused_whatever_the_example(example):
    for function in (
        lambda data: data["a"].cumsum(),
        lambda data: data["a"].rank(),
        lambda data: data["a"].shift(1, fill_value=0.0),
        lambda data: [len(data)] * len(data),
    ):
        assert not decide(scorer_of(COLUMNS, function), "on", example).on


def test_a_model_that_answers_one_thing_for_all_rows_is_refused():
    assert "one element per row" in decide(scorer_of(COLUMNS, lambda data: [1.0]), "on", EXAMPLE).why


def test_a_model_that_refuses_nearly_every_row_is_not_verified():
    def picky(data):
        if len(data) > 1 or data["a"].iloc[0] != 1.0:
            raise ValueError
        return [1]

    assert verify(scorer_of(COLUMNS, picky), EXAMPLE) is None
    assert decide(scorer_of(COLUMNS, picky), "on", EXAMPLE).why == "2 rows scored together raised ValueError"


def test_a_slow_model_is_verified_on_fewer_rows():
    with mock.patch.object(batching, "_LONG_ENOUGH_S", -1.0):
        assert "verified on 2 rows, in calls of 1, 2" in verify(scorer_of(COLUMNS, sums), EXAMPLE).why


def test_one_row_of_an_example_shows_what_an_owner_switched_on_by_mistake():
    """The text of a row is not varied: the row is scored beside itself."""
    names = [("name", "string")]
    example = (JSON, b'{"dataframe_split": {"columns": ["name"], "data": [["a"]]}}')
    counted = scorer_of(names, lambda data: [len(data)] * len(data), "a_module_of_the_model")
    assert "different answers" in decide(counted, "on", example).why
    lengths = scorer_of(names, lambda data: data["name"].str.len().tolist(), "a_module_of_the_model")
    assert "switched on; verified on 2 rows, in calls of 1, 2" in decide(lengths, "on", example).why


def test_a_custom_model_is_batched_only_when_switched_on():
    custom = scorer_of(COLUMNS, sums, "a_module_of_the_model")
    assert "batching=on" in decide(custom, "auto", EXAMPLE).why
    assert decide(custom, "on", EXAMPLE).on
    assert not decide(custom, "off", EXAMPLE).on
    assert decide(scorer_of(COLUMNS, sums), "on", None).why.startswith("switched on; verified on 4 rows")
    assert not decide(scorer_of(COLUMNS, sums), "on", None).known
    assert decide(scorer_of(COLUMNS, sums), "off", EXAMPLE) == Verdict(False, "switched off")


def test_there_is_no_batching_without_a_fast_path_even_when_switched_on():
    scorer = Scorer(pyfunc([(None, "double")], lambda data: [0] * len(data)))
    scorer.prepare_fast_path()
    verdict = decide(scorer, "on", None)
    assert not verdict.on
    assert "the columns of the signature have no names" in verdict.why


def test_tensors_are_scored_together_and_answered_each_its_own_rows(tmp_path):
    from worker_models import Model, ModelSignature, Predictor, PyFuncModel, Schema, TensorSpec

    calls = []
    meta = Model(signature=ModelSignature(inputs=Schema([TensorSpec(np.dtype("float64"), (-1, 2))])))
    meta.add_flavor("python_function", loader_module="mlflow.sklearn")
    model = Predictor(lambda data: calls.append(data.shape) or data.sum(axis=1))
    scorer = Scorer(PyFuncModel(meta, model, predict_fn="predict"))
    assert scorer.prepare_fast_path() is None
    assert verify(scorer, None).on
    calls.clear()
    bodies = [b'{"inputs": [[1, 2.5], [3, 4]]}', b'{"instances": [[5, 6]]}', b'{"inputs": [[1, 2, 3]]}']
    answers = serve(scorer, [request(one) for one in bodies], tmp_path).answers()
    assert answers[0] == (200, b'{"predictions": [3.5, 7.0]}')
    assert answers[1] == (200, b'{"predictions": [11.0]}')
    assert answers[2] == (400, scorer.score(JSON, bodies[2]).body)
    assert calls == [(3, 2)]


@pytest.mark.parametrize("rows", [[["a", None], [None, 1.0]], [["a", 1.0], ["b", 2.0]], [[None, None], [None, None]]])
def test_a_row_of_text_in_a_batch_is_the_row_that_comes_alone(rows, tmp_path):
    """A column with nulls has another type than a column without: such rows are not scored together."""
    scorer = scorer_of([("t", "string"), ("x", "double")], lambda data: [f"{value!r}" for value in data["t"]])
    bodies = [json.dumps({"dataframe_split": {"columns": ["t", "x"], "data": [row]}}).encode() for row in rows]
    answers = serve(scorer, [request(one) for one in bodies], tmp_path).answers()
    for number, one in enumerate(bodies):
        assert answers[number][1] == scorer.score(JSON, one).body


# The check while serving


class TurnsBad:
    """Row-wise until a day comes."""

    def __init__(self):
        self.bad = False

    def __call__(self, data):
        values = data["a"].to_numpy()
        return values - values.mean() if self.bad else values


def test_a_model_that_was_verified_and_then_misbehaves_is_caught(tmp_path):
    model = TurnsBad()
    scorer = scorer_of(COLUMNS, model)
    verdict = verify(scorer, EXAMPLE)
    assert verdict.on
    model.bad = True

    async def main():
        peer = Peer()
        running = Engine(scorer, verdict, 4, StatusFile(str(tmp_path / "status")))
        running.report()
        assert json.loads((tmp_path / "status").read_text())["batching"] is True
        for number in range(4 * batching.CHECK_EVERY):
            running.take(peer, number, request(body((number, 1.5))))
        while running.busy:
            await asyncio.sleep(0)
        checked = [answer[1] for answer in list(peer.answers().values())[-4:]]
        assert checked == [b'{"predictions": [0.0]}'] * 4
        peer.data = b""
        for number in range(3):
            running.take(peer, number, request(body((number, 1.5))))
        while running.busy:
            await asyncio.sleep(0)
        return peer

    peer = asyncio.run(main())
    assert [status_body[1] for status_body in peer.answers().values()] == [b'{"predictions": [0.0]}'] * 3
    status = json.loads((tmp_path / "status").read_text())
    assert status["batching"] is False
    assert status["why"] == "a row scored in a batch and alone got different answers"


def of_the_same_kind(data):
    """Depends on the rows with the same ``a``."""
    return data["b"] - data.groupby("a")["b"].transform("mean")


def test_what_an_owner_switched_on_by_mistake_lets_no_answer_out_that_differs(tmp_path):
    scorer = scorer_of(COLUMNS, of_the_same_kind)
    verdict = decide(scorer, "on", EXAMPLE)
    assert verdict.on
    requests = [request(body((1.0, number))) for number in range(64)]
    answers = serve(scorer, requests, tmp_path, verdict).answers()
    assert answers == dict.fromkeys(range(64), (200, b'{"predictions": [{"b": 0.0}]}'))
    assert json.loads((tmp_path / "status").read_text())["batching"] is False


def test_a_custom_model_is_not_tried_on_made_up_rows():
    model = Recorded()
    custom = scorer_of(COLUMNS, model, "a_module_of_the_model")
    model.calls.clear()
    verdict = decide(custom, "on", None)
    assert verdict.on
    assert "nothing was tried" in verdict.why
    assert model.calls == []


def test_a_status_that_cannot_be_written_is_left_out_and_leaves_nothing(tmp_path):
    (tmp_path / "status").mkdir()
    Engine(scorer_of(COLUMNS, Recorded()), ON, 256, StatusFile(str(tmp_path / "status"))).report()
    assert [path.name for path in tmp_path.iterdir()] == ["status"]


def test_a_check_scores_a_few_rows_however_many_the_batch_has(tmp_path):
    model = Recorded()
    scorer = scorer_of(COLUMNS, model)
    model.calls.clear()
    with mock.patch.object(batching, "CHECK_EVERY", 1):
        serve(scorer, [request(body(*[(n, 0.5)] * 50)) for n in range(5)], tmp_path)
    assert model.calls == [250] + [1] * batching.CHECKED_ROWS


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (1.0, 1.0 + 9e-7, True),
        (1.0, 1.0 + 2e-6, False),
        (0.1, 0.1 + 2e-7, False),
        (0.0, 9e-13, True),
        (0.0, 2e-12, False),
        (float(np.float32(0.01)), float(np.float32(0.0100009)), True),
        (float(np.float32(0.01)), float(np.float32(0.010002)), False),
        (float(np.float32(1000)), float(np.float32(1000.0005)), True),
        (float(np.float32(1000)), float(np.float32(1000.002)), False),
        (1e300, 1e300, True),
        (1.0, 1, True),
        (1, 1.0, True),
        (1, True, False),
        (1.0, True, False),
        (float("nan"), float("nan"), True),
        (float("nan"), 0.0, False),
        (None, float("nan"), False),
        ("a", "a", True),
        ([1.0, "a"], [1.0 + 1e-12, "a"], True),
        ([1.0], [1.0, 2.0], False),
        ({"a": [1.0]}, {"a": [1.0]}, True),
        ({"a": 1.0}, {"b": 1.0}, False),
        (float("inf"), float("-inf"), False),
    ],
)
def test_floats_are_the_same_within_a_millionth_and_all_else_exactly(one, other, same):
    assert batching.same(one, other) is same
