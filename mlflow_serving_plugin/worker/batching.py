"""Scoring several requests with one call of the model, where that changes no answer.

Two things are needed: the classes that the model is made of are known to score row by row (``row_wise``), and a proof
on a few rows agrees. The owner's ``batching=on`` stands in for the first. The second is then: nothing tried disagrees.
"""

from __future__ import annotations

import json
import math
import random
import struct
import time
from typing import Any, NamedTuple, Sequence

from .decoding import Batchable
from .row_wise import why_not_row_wise
from .scoring import Scorer

RELATIVE_TOLERANCE = 1e-6
_ABSOLUTE_TOLERANCE = 1e-12
_ABSOLUTE_TOLERANCE_SINGLE = 1e-6
"""Below 1, a number in single precision may be the difference of numbers about 1, of which 1e-6 is the rounding."""

CHECK_EVERY = 100
"""Batches. Of so many batches, one is also scored row by row."""

CHECKED_ROWS = 4
"""Rows of a checked batch that are scored again: enough to see a difference, few enough to delay no request."""

_FIRST_CHECKED = 10
"""Batches, each of which is checked where only the owner says that the model scores row by row."""

_MOST_ROWS = 12
_LONG_ENOUGH_S = 5.0
"""Once verifying took so long, two rows are enough: the model is slow."""

_SIZES = (2, 7, 32, 100, 256)
"""Rows of further calls: a library may compute in another way from some number of rows on."""

_FURTHER_S = (0.05, 0.5)
"""The further calls may take as long as the rows took alone, within these limits: a slow model is tried less."""


_NOT_ONE_EACH = "the answer does not have one element per row"


class Verdict(NamedTuple):
    """Whether requests are scored together, and for what reason, for a person."""

    on: bool
    why: str
    known: bool = True
    """Whether the model's classes are known to score row by row; else the owner says so."""

    def must_check(self, batch_number: int) -> bool:
        """Whether a batch, counted from 1, is also scored row by row before its answers leave."""
        return batch_number % CHECK_EVERY == 0 or (not self.known and batch_number <= _FIRST_CHECKED)


def decide(scorer: Scorer, mode: str, example: tuple[str, bytes] | None, most_rows: int = _SIZES[-1]) -> Verdict:
    """The verdict for ``mode`` ``auto``, ``on`` or ``off``, after the fast path was prepared.

    ``most_rows``: of a batch.
    """
    if mode == "off":
        return Verdict(False, "switched off")
    if scorer.decoder is None:
        return Verdict(False, f"no fast path for this model's input, because {scorer.why_no_fast_path}")
    why_not = why_not_row_wise(scorer.model) if scorer.library_flavor else "a custom model may look at several rows"
    if why_not and mode == "auto":
        return Verdict(False, f"{why_not}; batching=on is for models that score each row by itself")
    # One row, repeated, can show a difference, but is no proof.
    found = verify(scorer, example, most_rows, fewest=1 if mode == "on" else 2)
    if mode == "on" and (found is None or found.on):
        tried = found.why if found else "nothing was tried, because the model has no input example of rows it takes"
        return Verdict(True, f"switched on; {tried}", known=not why_not)
    return found or Verdict(False, "the model accepted too few rows to verify it")


def verify(
    scorer: Scorer, example: tuple[str, bytes] | None, most_rows: int = _SIZES[-1], fewest: int = 2
) -> Verdict | None:
    """Whether predict(rows together) is predict(row by row), on a few rows, in calls of several sizes.

    None when the model takes fewer than ``fewest`` different rows.
    """
    rows: list[Batchable] = []
    singles: list[Any] = []
    began = time.monotonic()
    for row in _largest_group(_tried_rows(scorer, example)):
        if len(rows) >= 2 and time.monotonic() - began > _LONG_ENOUGH_S:
            break
        try:
            singles.append(scorer.jsonable(scorer.predict(row)))
            rows.append(row)
        except Exception:  # noqa: S112 - a row that the model refuses shows nothing either way
            continue
    if len({row.body() for row in rows}) < fewest:
        return None
    if not all(_one_each(single, 1) for single in singles):
        return Verdict(False, _NOT_ONE_EACH)
    least_s, most_s = _FURTHER_S
    until = time.monotonic() + min(max(least_s, time.monotonic() - began), most_s)
    sizes, took_s = [1], 0.0
    for further, size in enumerate(_sizes(len(rows), most_rows)):
        start = time.monotonic()
        if further and start + took_s > until:
            break
        against = _contradicts(scorer, rows, singles, size)
        if against:
            return Verdict(False, against)
        took_s = time.monotonic() - start
        sizes.append(size)
    return Verdict(True, f"verified on {len(rows)} rows, in calls of {_listed(sizes)}")


def _sizes(rows: int, most_rows: int) -> list[int]:
    """The sizes of calls to try: first all rows that there are, then others, none larger than a batch."""
    first = min(max(rows, 2), most_rows)
    return [first, *(size for size in _SIZES if size <= most_rows and size != first)]


def _contradicts(scorer: Scorer, rows: list[Batchable], singles: list[Any], size: int) -> str | None:
    """Score so many rows together, the rows repeated in turn; how the answers differ from those of each row alone."""
    turn = [at % len(rows) for at in range(size)]
    try:
        together = scorer.jsonable(scorer.predict(rows[0].join([rows[at] for at in turn[1:]])))
    except Exception as error:
        return f"{size} rows scored together raised {type(error).__name__}"
    if not _one_each(together, size):
        return _NOT_ONE_EACH
    if not all(same(answer, singles[at][0]) for answer, at in zip(together, turn)):
        return f"{size} rows scored together and one by one give different answers"
    return None


def difference(scorer: Scorer, inputs: Sequence[Batchable], bodies: Sequence[bytes]) -> str | None:
    """Score a few rows of a batch again, each row by itself; how the answers differ, None when they do not.

    ``bodies``: the answer to each of ``inputs``, as JSON.
    """
    places = [(at, row) for at, one in enumerate(inputs) for row in range(one.count)]
    try:
        for at, row in random.sample(places, min(CHECKED_ROWS, len(places))):
            alone = scorer.jsonable(scorer.predict(inputs[at].row(row)))[0]
            if not same(json.loads(bodies[at])["predictions"][row], alone):
                return "a row scored in a batch and alone got different answers"
    except BaseException as error:
        return f"a row that was scored in a batch raised {type(error).__name__} alone"
    return None


def split(output: Any, counts: list[int]) -> list[Any] | None:
    """A model's output for several requests, cut into one part for each; None if it has not one element per row."""
    total = sum(counts)
    try:
        if len(output) != total or isinstance(output, (dict, str, bytes)):
            return None
    except TypeError:
        return None
    cut = output.iloc if hasattr(output, "iloc") else output
    parts, start = [], 0
    for count in counts:
        parts.append(cut[start : start + count])
        start += count
    return parts


def same(one: Any, other: Any) -> bool:
    """Whether two answers are the same: all but floats exactly.

    Floats within 1e-6 of the number; in single precision also within 1e-6 absolute, else within 1e-12.
    """
    if isinstance(one, float) and isinstance(other, (float, int)) and not isinstance(other, bool):
        if math.isnan(one) or math.isnan(other):
            return math.isnan(one) and math.isnan(other)
        single = _is_single(one) and _is_single(other)
        near_zero = _ABSOLUTE_TOLERANCE_SINGLE if single else _ABSOLUTE_TOLERANCE
        return math.isclose(one, other, rel_tol=RELATIVE_TOLERANCE, abs_tol=near_zero)
    if type(one) is not type(other):
        return isinstance(other, float) and type(one) is int and same(other, one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def _is_single(number: float) -> bool:
    """Whether single precision holds the very number."""
    try:
        return bool(struct.unpack("f", struct.pack("f", number))[0] == number)
    except OverflowError:
        return False


def _tried_rows(scorer: Scorer, example: tuple[str, bytes] | None) -> list[Batchable]:
    assert scorer.decoder is not None  # noqa: S101 - decide() has looked
    given = scorer.decode(*example) if example else None
    rows = [given.row(index) for index in range(min(given.count, _MOST_ROWS // 3))] if given else []
    # The example's rows may be alike; a model that looks at neighbouring rows is found out by unlike ones.
    rows += [row.varied() for row in rows]
    if not scorer.library_flavor:
        return rows  # a custom model may do more with a row than compute
    made = [probe.row(index) for probe in scorer.decoder.probes()[:1] for index in range(probe.count)]
    return [*rows, *made]


def _largest_group(rows: list[Batchable]) -> list[Batchable]:
    """Rows that can be joined, as many as there are."""
    groups = [row.group for row in rows]
    return [row for row in rows if row.group == max(groups, key=groups.count)]


def _listed(sizes: list[int]) -> str:
    *others, largest = sorted(set(sizes))
    if not others:
        return f"{largest} row{'' if largest == 1 else 's'}"
    return f"{', '.join(map(str, others))} and {largest} rows"


def _one_each(answer: Any, count: int) -> bool:
    return isinstance(answer, list) and len(answer) == count
