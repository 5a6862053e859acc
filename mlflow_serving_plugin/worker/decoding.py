"""What a body is decoded into, as far as the engine and batching know: inputs that can be joined and taken apart.

``fast_path`` makes them of rows. Another kind of input is another class of these two: nothing else knows what an input
holds.
"""

from __future__ import annotations

from typing import Any, Protocol, Sequence


class Batchable(Protocol):
    """The decoded input of one request, or of several."""

    count: int
    """Rows; in general, how many predictions the model makes of the input."""

    def join(self, others: Sequence[Any]) -> Batchable:
        """This input followed by others of its class, which came from the same decoder."""

    def row(self, index: int) -> Batchable:
        """One row by itself."""

    def varied(self) -> Batchable:
        """An input like this one with other values, for the model to be tried on."""

    def model_input(self) -> Any:
        """What the model's predict function gets: exactly what MLflow makes of ``body()``."""

    def same_input(self, seen: Any) -> bool:
        """Whether what MLflow made of ``body()`` is ``model_input()``, to the bit."""

    def body(self) -> bytes:
        """A JSON body that decodes to this input."""


class BodyDecoder(Protocol):
    """Decodes the bodies that one model gets."""

    def decode(self, body: bytes) -> Batchable | None:
        """The input of a JSON body; None leaves the body to MLflow's own way."""

    def probes(self) -> Sequence[Batchable]:
        """Inputs made from the signature, on which this decoder and MLflow's own way are compared."""
