"""Which request is to blame for lost workers, by the rule alone: crowds with one that kills, worker after worker."""

from __future__ import annotations

import pytest

from mlflow_serving_plugin.gateway.blame import Suspicion, Turn

STEP_S = 0.05


def played(guilty_after_s: float, length_s: float, crowd: int, place: int) -> tuple[list[float | None], int]:
    """A crowd on one worker, one of which kills the worker after so long; the others take ``length_s`` each.

    Returns when each was answered, None for the one to blame, and how many workers were lost.
    """
    requests = [Suspicion() for _ in range(crowd)]
    ends = [guilty_after_s if number == place else length_s for number in range(crowd)]
    with_worker: dict[int, tuple[float, Turn]] = dict.fromkeys(range(crowd), (0.0, Turn.FREE))
    ended: dict[int, float | None] = {}
    now, lost = 0.0, 0
    while len(ended) < crowd:
        now += STEP_S
        assert now < 1000
        for number in [n for n, (begun, _) in with_worker.items() if n != place and now - begun >= ends[n]]:
            del with_worker[number]
            ended[number] = now
        if place in with_worker and now - with_worker[place][0] >= guilty_after_s:
            lost += 1
            for number, (_, turn) in with_worker.items():
                requests[number].note_loss(len(with_worker), turn)
                if requests[number].guilty:
                    ended[number] = None
            with_worker = {}
        for number in (n for n in range(crowd) if n not in ended and n not in with_worker):
            turn = requests[number].turn(len(with_worker))
            if turn is not Turn.WAIT:
                with_worker[number] = (now, turn)
            requests[number].waited_s += STEP_S
    return [ended[number] for number in range(crowd)], lost


@pytest.mark.parametrize("crowd", [1, 2, 3, 8, 64])
@pytest.mark.parametrize(("guilty_after_s", "length_s"), [(0.1, 0.1), (0.1, 1.5), (2.0, 0.1), (2.0, 1.5)])
def test_only_the_request_that_kills_is_to_blame_and_only_few_workers_are_lost(crowd, guilty_after_s, length_s):
    for place in (0, crowd // 2, crowd - 1):
        ended, lost = played(guilty_after_s, length_s, crowd, place)
        assert [number for number, at in enumerate(ended) if at is None] == [place]
        assert lost <= 3 + crowd.bit_length()


def test_nobody_is_charged_for_a_worker_that_was_lost_beside_the_request_on_trial():
    beside = Suspicion()
    for _ in range(20):
        beside.note_loss(8, Turn.FREE)
    assert not beside.guilty


def test_a_charged_request_pauses_and_is_never_tried_beside_other_suspects():
    charged = Suspicion()
    charged.note_loss(64, Turn.FREE)
    assert charged.turn(0) is Turn.TRIAL
    charged.note_loss(64, Turn.TRIAL)
    assert charged.turn(0) is Turn.WAIT
    charged.waited_s = 60.0
    assert (charged.turn(1), charged.turn(0)) == (Turn.WAIT, Turn.TRIAL)
