"""Which request is to blame for a lost worker, and when a request that lost a worker may be tried again. Pure.

A worker that dies takes along all requests that it has in hand, and nothing tells which of them ended it, if one did.
So each of them is *suspect* from then on, and suspects are put on *trial*: tried again one at a time. The request on
trial is charged when its worker dies again, unless another suspect was sent meanwhile. A request with two charges is
to blame: it has then ended three workers, twice as the only suspect, with a pause between. Nobody else is charged, so
a request that stands beside one that kills is tried until its time is over.

One at a time takes long when predictions do. Suspects that have waited for a second are tried together, at most half
as many as were lost together: each loss halves the crowd that holds the guilty one, until that one is alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MOST_CHARGES = 2
_PATIENCE_S = 1.0
"""How long a suspect waits for its trial before it is tried together with others."""
_PAUSE_S = 0.5
"""Before the next trial of a request that has been charged: others go first, and what else kills workers is over."""


class Turn(Enum):
    """How a request may be sent to a worker now."""

    FREE = "like any other"
    TRIAL = "as the only suspect"
    WAIT = "not yet"


@dataclass(slots=True)
class Suspicion:
    """What is known against one request. ``waited_s``: how long it has waited since its last loss."""

    losses: int = 0
    crowd: int = 0
    """How many requests the last lost worker had in hand, this one included."""
    charges: int = 0
    waited_s: float = 0.0

    @property
    def guilty(self) -> bool:
        """Whether the request is to blame, and is not to be tried again."""
        return self.charges >= MOST_CHARGES

    def turn(self, others: int) -> Turn:
        """How the request may be sent while ``others`` suspects are with workers."""
        if not self.losses:
            return Turn.FREE
        if self.waited_s < _PAUSE_S * self.charges:
            return Turn.WAIT
        if not others:
            return Turn.TRIAL
        patient = self.charges or self.waited_s < _PATIENCE_S
        return Turn.WAIT if patient or others >= self.crowd // 2 else Turn.FREE

    def note_loss(self, crowd: int, turn: Turn) -> None:
        """A worker died with ``crowd`` requests in hand. ``turn``: by which this one of them had been sent."""
        self.losses += 1
        self.crowd = crowd
        self.charges += turn is Turn.TRIAL
        self.waited_s = 0.0
