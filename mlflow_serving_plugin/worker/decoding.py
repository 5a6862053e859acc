"""What a body is decoded into, as far as the engine and batching know: inputs that can be joined and taken apart.

``tables`` makes inputs of rows, ``tensors`` of arrays. Another kind of input is another class of these: nothing else
knows what an input holds.
"""

from __future__ import annotations

from typing import Any, Iterator, NamedTuple, Protocol, Sequence

_LARGE_BYTES = 64 * 1024


class Batchable(Protocol):
    """The decoded input of one request, or of several."""

    count: int
    """Rows; in general, how many predictions the model makes of the input."""

    group: Any
    """Inputs are joined only when their groups are equal: columns, parameters and whatever else all rows share."""

    params: Any
    """The ``params`` of the request; None without any."""

    def join(self, others: Sequence[Any]) -> Batchable:
        """This input followed by others of its class and group, which came from the same decoder."""

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


class Trial(NamedTuple):
    """A body on which decoder and MLflow are compared, and what the decoder may take once both have made the same."""

    body: bytes
    allows: Sequence[tuple[set[str], str]]
    """Sets of the decoder, and what is put into each."""

    needed: bool = False
    """Whether the decoder is of no use without this trial."""


class BodyDecoder(Protocol):
    """Decodes the bodies that one model gets."""

    proved_body: bytes
    """A small body of which decoder and MLflow make the same; empty while there is none."""

    def decode(self, body: bytes) -> Batchable | None:
        """The input of a JSON body; None leaves the body to MLflow's own way."""

    def decode_tensors(self, body: bytes) -> Batchable | None:
        """The input of a body of tensors as bytes, see ``tensor_body``; None leaves the body to MLflow's own way."""

    def trials(self) -> Iterator[Trial]:
        """Bodies made from the signature, on which this decoder and MLflow's own way are compared."""

    def probes(self) -> Sequence[Batchable]:
        """Inputs made from the signature, on which the model is tried."""


def in_short(content_type: str, body: bytes, decoder: BodyDecoder | None) -> tuple[str, bytes]:
    """A small request by which MLflow comes to a call of the model too; a request that is small already as it is.

    For an outcome that is known and needs MLflow's words only: MLflow would make the input of a large body once more.
    """
    short = decoder.proved_body if decoder is not None and len(body) > _LARGE_BYTES else b""
    return ("application/json", short) if short else (content_type, body)
