"""Refused guesses of passwords: they take no thread, wait where waiting holds none, and only so many of them."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.errors import TooManyRequestsError
from mlflow_serving_plugin.gateway.messages import Head, Pause
from mlflow_serving_plugin.gateway.tarpit import Tarpit
from mlflow_serving_plugin.testing.access import MemoryAccess

HEAD = Head("POST", "/model/iris/1/invocations", {"authorization": "Basic guess"}, client="6.6.6.6")


class Guessed(MemoryAccess):
    """Refuses each guess."""

    def refuse_guess(self, headers, address):
        return TooManyRequestsError(f"Too many wrong passwords from {address}.", retry_after_s=4)


def test_a_refused_guess_waits_a_second_and_holds_no_thread():
    steps = Tarpit(Guessed()).pass_by(HEAD)
    assert next(steps) == Pause(1.0, needless=True)
    with pytest.raises(TooManyRequestsError, match=r"6\.6\.6\.6"):
        next(steps)


def test_the_thousandth_and_first_guess_at_a_time_is_refused_at_once():
    tarpit = Tarpit(Guessed())
    waiting = [tarpit.pass_by(HEAD) for _ in range(1000)]
    assert {next(steps).needless for steps in waiting} == {True}
    with pytest.raises(TooManyRequestsError):
        next(tarpit.pass_by(HEAD))
    waiting.pop().close()  # a client that leaves
    assert isinstance(next(tarpit.pass_by(HEAD)), Pause)


def test_who_sends_no_guess_passes():
    assert list(Tarpit(MemoryAccess()).pass_by(HEAD)) == []
