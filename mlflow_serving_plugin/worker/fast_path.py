"""From a JSON body straight to what a model gets: which decoder a model has, and the proof that the decoder is right.

A decoder takes only bodies with values of kinds on which decoder and MLflow have made the very same input, when the
worker started. For any other body ``decode`` returns None, and MLflow's own way decides.
"""

from __future__ import annotations

import json
from typing import Any, Callable, Iterator, Sequence

from .blocks import LARGE_BYTES, read_large
from .columns import NotCompilable
from .decoding import Batchable, Trial
from .formats import may_hold_table
from .inferred import InferredTable
from .model_call import ModelCall
from .same import same_value
from .tables import SignatureTable
from .tensor_body import read_body
from .tensors import InferredTensors, SignatureTensors
from .values import TypeHintValues

try:  # twice as fast, where the environment has it
    import orjson

    _loads: Any = orjson.loads
except ImportError:
    _loads = json.loads

__all__ = ["JsonDecoder", "NotCompilable", "compile_model", "prove", "prove_params"]

Seen = Callable[[bytes], Any]
"""What MLflow hands to the model for a JSON body: the input and the keyword arguments; None when MLflow refuses."""

_EXACT_FLOAT = 2.0**63


class JsonDecoder:
    """A ``decoding.BodyDecoder``: one field of input, and perhaps ``params``.

    ``exact``: as MLflow parses JSON, also NaN and whole numbers beyond 64 bits.
    """

    def __init__(self, shapes: Sequence[Any], takes_params: bool = False, exact: bool = False) -> None:
        self.shapes = shapes
        self.takes_params = takes_params
        self._exact = exact
        self.proved_body = b""

    def decode(self, body: bytes) -> Batchable | None:
        """The input of a body; None for any body that is not proved."""
        if not self._exact and len(body) >= LARGE_BYTES:
            large: Batchable | None = read_large(body, self.shapes)
            if large is not None:
                return large
        document = self._parsed(body)
        if type(document) is not dict:
            return None
        params = document.pop("params", None) if self.takes_params else None
        if len(document) != 1 or (params is not None and (type(params) is not dict or not _exact(params))):
            return None
        ((key, value),) = document.items()
        for shape in self.shapes:
            found: Batchable | None = shape.read(key, value)
            if found is not None:
                return _with_params(found, params)
        return None

    def _parsed(self, body: bytes) -> Any:
        if len(body) >= LARGE_BYTES and not may_hold_table(body):
            return None
        try:
            return json.loads(body) if self._exact else _loads(body)
        except (ValueError, RecursionError):
            return None

    def decode_tensors(self, body: bytes) -> Batchable | None:
        """The input of a body of tensors as bytes: what ``decode`` makes of the same tensors in JSON."""
        kind, arrays, params = read_body(body)
        if params is not None and (not self.takes_params or not _exact(params)):
            return None
        for shape in self.shapes:
            found: Batchable | None = shape.read_arrays(kind, arrays) if hasattr(shape, "read_arrays") else None
            if found is not None:
                return _with_params(found, params)
        return None

    def probes(self) -> Sequence[Batchable]:
        """Inputs made from the signature, on which the model is tried."""
        return [probe for shape in self.shapes for probe in shape.probes()]

    def trials(self) -> Iterator[Trial]:
        """Bodies on which this decoder and MLflow's own way are compared."""
        for shape in self.shapes:
            yield from shape.trials()


def _with_params(found: Batchable, params: Any) -> Batchable:
    if params is not None:
        found.params = params
        found.group = (found.group, json.dumps(params, sort_keys=True))
    return found


def compile_model(model: Any, schema: Any, max_cells: int) -> JsonDecoder:
    """The decoder for a model, of which nothing is proved yet; NotCompilable when the model needs MLflow's own way."""
    if not hasattr(model, "_predict_fn"):
        raise NotCompilable("this MLflow has another way to the model")
    metadata = model.metadata
    if getattr(metadata, "_is_type_hint_from_example", bool)():
        raise NotCompilable("the type hint comes from the input example")
    params = metadata.get_params_schema() if hasattr(metadata, "get_params_schema") else None
    if getattr(metadata, "_is_signature_from_type_hint", bool)():
        return JsonDecoder([TypeHintValues()], takes_params=params is not None, exact=True)
    if schema is None:
        return JsonDecoder([InferredTable(max_cells), InferredTensors()])
    if schema.is_tensor_spec():
        return JsonDecoder([SignatureTensors(schema)], takes_params=params is not None)
    if not schema.has_input_names():
        raise NotCompilable("the columns of the signature have no names")
    return JsonDecoder([SignatureTable(schema)], takes_params=params is not None)


def prove(decoder: JsonDecoder, seen: Seen) -> tuple[str | None, dict[str, Any]]:
    """Have the decoder take what decoder and MLflow make alike; why the decoder is of no use, and keyword arguments.

    The keyword arguments are those that MLflow calls the model with.
    """
    arguments: dict[str, Any] = {}
    for trial in decoder.trials():
        new = [(proved, item) for proved, item in trial.allows if item not in proved]
        for proved, item in new:
            proved.add(item)
        made = decoder.decode(trial.body)
        found = seen(trial.body) if made is not None else None
        if made is not None and found is not None and same_value(found[0], made.model_input()):
            arguments = found[1]
            decoder.proved_body = decoder.proved_body or trial.body
            continue
        for proved, item in new:
            proved.discard(item)
        if trial.needed:
            return _why(made, found), {}
    return None, arguments


def prove_params(decoder: JsonDecoder, call: ModelCall, seen: Seen) -> None:
    """Have the decoder take ``params`` only if MLflow makes the same keyword arguments of them."""
    if decoder.takes_params:
        given = call.given_params()
        trial = next(decoder.trials())
        found = None if given is None else seen(json.dumps({**json.loads(trial.body), "params": given}).encode())
        decoder.takes_params = found is not None and same_value(found[1], call.arguments(given))


def _why(made: Any, found: Any) -> str:
    if made is not None and found is None:
        return "MLflow refuses rows made from the signature"
    return "MLflow builds another input from the same rows"


def _exact(value: Any) -> bool:
    """Whether no parameter may be a whole number beyond 64 bits, which is a float to orjson."""
    if isinstance(value, dict):
        return all(map(_exact, value.values()))
    if isinstance(value, list):
        return all(map(_exact, value))
    return not isinstance(value, float) or -_EXACT_FLOAT < value < _EXACT_FLOAT
