"""How long a request may still be held and retried."""

from __future__ import annotations

from dataclasses import dataclass, field

from mlflow_serving_plugin.domain.states import EntityState
from mlflow_serving_plugin.errors import TemporarilyUnavailableError, UnavailableError, WorkerCrashedError
from mlflow_serving_plugin.gateway.blame import Suspicion, Turn
from mlflow_serving_plugin.gateway.choice import Choice

RETRY_AFTER_S = 2


@dataclass(slots=True)
class TimeBudget:
    """The time that a request has left, in seconds, and what is known against the request."""

    hold_s: float
    """For waiting; lost calls count too, except the first."""
    held_s: float = 0.0
    suspicion: Suspicion = field(default_factory=Suspicion)

    def spend(self, took_s: float) -> None:
        """The request was held, or a worker was lost, for so long."""
        self.hold_s -= took_s
        self.held_s += took_s

    def note_loss(self, crowd: int, turn: Turn, took_s: float) -> None:
        """The request lost a worker. WorkerCrashedError, TemporarilyUnavailableError: it is not retried."""
        suspicion = self.suspicion
        suspicion.note_loss(crowd, turn)
        if suspicion.guilty:
            raise WorkerCrashedError("The model's worker crashed while scoring this request.")
        if suspicion.losses == 1:
            return
        self.spend(took_s)
        if self.hold_s <= 0:
            raise TemporarilyUnavailableError(
                f"The request lost {suspicion.losses} workers, each together with other requests, and its time is "
                "over.",
                retry_after_s=RETRY_AFTER_S,
            )

    def raise_unless_holdable(self, choice: Choice) -> None:
        """UnavailableError, TemporarilyUnavailableError: the request does not wait for a worker any longer."""
        entity = choice.entity
        if entity.state is EntityState.FAILED:
            raise UnavailableError(f"{choice} has failed: {entity.message}")
        if self.hold_s <= 0:
            raise TemporarilyUnavailableError(
                f"{choice} was not ready within {self.held_s:.0f} s. It is {entity.state.value}: {entity.message}",
                retry_after_s=RETRY_AFTER_S,
            )
