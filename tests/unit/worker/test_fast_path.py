"""The fast path builds what MLflow builds, to the bit, or stands aside."""

from __future__ import annotations

import json
import math
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from worker_models import scorer_of, split_of

from mlflow_serving_plugin.worker import blocks, fast_path, same
from mlflow_serving_plugin.worker.blocks import Block

KINDS = ("double", "float", "long", "integer", "boolean", "string")
FLOATS = st.one_of(st.floats(), st.floats(width=32), st.integers(-5, 5).map(float))
INTS = st.one_of(
    st.integers(-5, 5),
    st.integers(-(2**31) - 2, 2**31 + 2),
    st.integers(-(2**24) - 2, 2**24 + 2),
    st.integers(-(2**63) - 2, 2**63 + 2),
    st.sampled_from([2**64, -(2**64), 2**100, 2**53 + 1]),
)
VALID = {
    "double": st.one_of(FLOATS, FLOATS, INTS),
    "float": st.one_of(FLOATS, FLOATS, INTS),
    "long": INTS,
    "integer": INTS,
    "boolean": st.booleans(),
    "string": st.text(max_size=4),
}
ANY = st.one_of(*VALID.values(), st.none(), st.lists(st.integers(), max_size=2))
SCHEMAS = st.one_of(
    st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    st.tuples(st.sampled_from(KINDS), st.integers(1, 4)).map(lambda kind_count: [kind_count[0]] * kind_count[1]),
)
INDEXES = st.sampled_from(["none", "none", "range", "shifted", "text", "twice", "short", "null", "floats", "bools"])
LABELS = {
    "range": lambda count: list(range(count)),
    "shifted": lambda count: [number + 5 for number in range(count)],
    "text": lambda count: [str(number) for number in range(count)],
    "twice": lambda count: [0] * count,
    "short": lambda count: list(range(count - 1)),
    "null": lambda count: None,
    "floats": lambda count: [float(number) for number in range(count)],
    "bools": lambda count: [bool(number) for number in range(count)],
}
SCORERS = {}


def scorer_for(kinds):
    kinds = tuple(kinds)
    if kinds not in SCORERS:
        columns = [(f"c{number}", kind) for number, kind in enumerate(kinds)]
        SCORERS[kinds] = scorer_of(columns, lambda data: [0] * len(data))
    return SCORERS[kinds]


@st.composite
def requests(draw):
    """A signature and a body that fits it, or nearly."""
    kinds = draw(SCHEMAS)
    names = [f"c{number}" for number in range(len(kinds))]
    rare = draw(st.integers(0, 9))
    cells = [st.one_of(VALID[kind], ANY) if rare == 0 else VALID[kind] for kind in kinds]
    rows = [[draw(cell) for cell in cells] for _ in range(draw(st.integers(0 if rare == 1 else 1, 4)))]
    columns = list(draw(st.permutations(names))) if rare in (2, 3) else list(names)
    order = [names.index(name) for name in columns]
    rows = [[row[position] for position in order] for row in rows]
    if rare == 4:
        columns[draw(st.integers(0, len(columns) - 1))] = draw(st.sampled_from(["c0", "extra"]))
    if rare == 5:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
    if rare == 6:
        columns, rows = [*columns, "extra"], [[*row, 1] for row in rows]
    if draw(st.booleans()):
        document = {"dataframe_records": [dict(zip(columns, row, strict=True)) for row in rows]}
    else:
        document = {"dataframe_split": {"columns": columns, "data": rows}}
        if (labels := draw(INDEXES)) != "none":
            document["dataframe_split"]["index"] = LABELS[labels](len(rows))
    return kinds, json.dumps(document).encode()


def assert_identical(ours, theirs):
    assert ours.dtypes.equals(theirs.dtypes)
    assert list(ours.columns) == list(theirs.columns)
    assert ours.columns.dtype == theirs.columns.dtype
    assert ours.index.equals(theirs.index)
    for name in ours.columns:
        one, other = ours[name].to_numpy(), theirs[name].to_numpy()
        # NaN and the sign of zero count too.
        assert list(one) == list(other) if one.dtype == object else one.tobytes() == other.tobytes()
    one, other = np.asarray(ours), np.asarray(theirs)
    assert one.dtype == other.dtype
    assert (one.flags.c_contiguous, one.flags.f_contiguous) == (other.flags.c_contiguous, other.flags.f_contiguous)
    # The step along an axis of one is nobody's.
    steps = [[step for step, size in zip(a.strides, a.shape, strict=True) if size > 1] for a in (one, other)]
    assert steps[0] == steps[1]


WAYS = {
    "orjson": {"_loads": fast_path._loads},
    "json": {"_loads": json.loads},
    # Only bodies of this many bytes are read by simdjson.
    "simdjson": {"LARGE_BYTES": 0},
}


def read_by(way):
    return mock.patch.multiple(fast_path, **WAYS[way])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", WAYS)
@settings(max_examples=150, deadline=None)
@given(request=requests())
@example(request=(["double"], b'{"dataframe_records": [{"c0": 18446744073709551616}]}'))
@example(request=(["double", "string"], b'{"dataframe_records": [{"c0": 1e400, "c1": "\\ud800"}]}'))
@example(request=(["double"], '{"dataframe_records": [{"c0": 1}]}'.encode("utf-16")))
@example(request=(["long"], b'{"dataframe_records": [{"c0": 1, "c0": 2}]}'))
@example(request=(["float"], b'{"dataframe_records": [{"c0": 1e300}, {"c0": 3}]}'))
@example(request=(["double"], b'\xef\xbb\xbf{"dataframe_split": {"columns": ["c0"], "data": [[1]]}}'))
@example(request=(["double"], b'{"dataframe_split": {"columns": ["c0"], "data": [[1]], "data": [[2]]}}'))
@example(
    request=(["double", "double"], b'{"dataframe_split": {"columns": ["c0", "c1"], "data": [[[1, 2], 3], [4, []]]}}')
)
@example(request=(["float"], b'{"dataframe_split": {"columns": ["c0"], "data": [[1e300], [16777217]]}}'))
@example(request=(["long"], b'{"dataframe_split": {"columns": ["c0"], "data": [[9007199254740993]]}}'))
def test_a_frame_that_is_built_at_all_is_the_one_that_mlflow_builds(way, request):
    kinds, body = request
    scorer = scorer_for(kinds)
    with read_by(way):
        rows = scorer.decode("application/json", body)
    if rows is not None:
        seen = scorer._input_by_mlflow(body)
        assert seen is not None, "MLflow refuses it"
        assert_identical(rows.model_input(), seen[0])


@pytest.mark.parametrize("kind", KINDS)
def test_every_plain_type_has_a_fast_path(kind):
    scorer = scorer_for([kind, kind])
    assert scorer.decoder is not None
    probe = scorer.decoder.probes()[0]
    assert scorer.decode("application/json", probe.body()).rows == probe.rows


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"dataframe_records": 1}',
        b'{"dataframe_records": []}',
        b'{"dataframe_records": [1]}',
        b'{"dataframe_records": ["c"]}',
        b'{"dataframe_records": [["c0"]]}',
        b'{"dataframe_records": {"c0": 1}}',
        b'{"dataframe_split": []}',
        b'{"dataframe_split": {"columns": "c0", "data": [[1]]}}',
        b'{"dataframe_split": {"columns": [["c0"]], "data": [[1]]}}',
        b'{"dataframe_split": {"columns": ["c0"], "data": [{"c0": 1}]}}',
        b'{"dataframe_split": {"columns": ["c0"], "data": [[1]], "more": 1}}',
        b'{"dataframe_records": [{"c0": 1}], "params": {}}',
        b"\xff\xfe\xfd",
        b'{"dataframe_records": ' + b"[" * 200_000,
        b'{"a":' * 200_000,
        b'{"dataframe_records": [{"c0": ' + b"9" * 5000 + b"}]}",
    ],
    ids=lambda body: body[:60].decode("latin-1"),
)
@pytest.mark.parametrize("way", WAYS)
def test_a_body_that_is_anything_else_is_mlflows_to_judge(way, body):
    with read_by(way):
        assert scorer_for(["double"]).decode("application/json", body) is None


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "text/csv", "", "APPLICATION/JSON"])
def test_a_body_of_another_content_type_is_mlflows_to_judge(content_type):
    assert scorer_for(["double"]).decode(content_type, b'{"dataframe_records": [{"c0": 1.0}]}') is None


@pytest.mark.parametrize("rows", [1, 2, 3, 50, 1000])
def test_a_model_whose_last_digit_depends_on_the_memory_layout_answers_the_same(rows):
    generator = np.random.default_rng(7)
    weights = generator.normal(size=37)

    def predict(data):
        return np.asarray(data) @ weights + np.asarray(data).sum(axis=1)

    columns = [(f"c{number}", "double") for number in range(37)]
    scorer = scorer_of(columns, predict)
    data = pd.DataFrame(generator.normal(size=(rows, 37)) * 1e3, columns=[name for name, _ in columns])
    body = json.dumps({"dataframe_split": split_of(data)}).encode()
    decoded = scorer.decode("application/json", body)
    if blocks.simdjson is not None:
        assert isinstance(decoded, Block) == (len(body) > fast_path.LARGE_BYTES)
    ours = scorer.encode(scorer.predict(decoded))
    assert ours == scorer.score("application/json", body).body


@given(st.floats())
def test_floats_are_compared_by_value_with_nan_as_itself(value):
    frame = pd.DataFrame({"a": [value]})
    assert same.same_frame(frame, pd.DataFrame({"a": [value]}))
    assert not same.same_frame(frame, pd.DataFrame({"a": [1.0 if math.isnan(value) else math.nan]}))
