"""What OpenAI's clients speak: chat completions, responses and embeddings, and errors in OpenAI's shape.

MLflow's ``ChatModel`` and ``ResponsesAgent`` answer in these shapes by themselves. The answers of other models are put
into them: a ``ChatAgent``'s messages, a text, a list of vectors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from mlflow_serving_plugin.domain.json_text import null_for_nan
from mlflow_serving_plugin.errors import BadRequestError, UnsupportedTypeError
from mlflow_serving_plugin.gateway.dialects.base import Failure, Reader, Refusal, ScoringRequest
from mlflow_serving_plugin.gateway.dialects.content_type import JSON, read_content_type
from mlflow_serving_plugin.gateway.dialects.json_text import parse

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
Form = Callable[[Any, str], Any]


class OpenAi:
    """One of OpenAI's routes. ``field``: of a body, what the model is asked."""

    def __init__(self, field: str, answer: Form, event: Form) -> None:
        self._field = field
        self._answer = answer
        self._event = event
        self._model = ""

    def reader(self, headers: Mapping[str, str], default: str) -> Reader:
        """The reader for a JSON body; UnsupportedTypeError for any other."""
        if read_content_type(headers.get("content-type")).mime != JSON:
            raise UnsupportedTypeError("OpenAI's routes take JSON only.")
        return self._read

    def answer(self, body: bytes) -> bytes:
        """The model's answer in OpenAI's shape."""
        return _formed(self._answer, self._model, body)

    def event(self, event: bytes) -> bytes:
        """An event of the model in OpenAI's shape."""
        return _formed(self._event, self._model, event)

    def refuse(self, failure: Failure) -> Refusal:
        """The error in OpenAI's shape."""
        return Refusal(failure.status, JSON, json.dumps({"error": self.error_event(failure)}).encode())

    def error_event(self, failure: Failure) -> object:
        """The error in OpenAI's shape."""
        kind = _TYPES.get(failure.status, "invalid_request_error" if failure.status < 500 else "server_error")
        return {"message": failure.message, "type": kind, "param": None, "code": failure.error_code}

    def _read(self, body: bytes) -> ScoringRequest:
        document = parse(body)
        if not isinstance(document, dict) or self._field not in document:
            raise BadRequestError(f"The body must be a JSON object with the field '{self._field}'.")
        named = OpenAi(self._field, self._answer, self._event)
        named._model = str(document.pop("model", ""))
        if self is RESPONSES and isinstance(document["input"], str):
            # OpenAI's short form of one message, which MLflow's ResponsesAgent does not take.
            document["input"] = [{"role": "user", "content": document["input"]}]
        if self is CHAT and isinstance(document.get("stop"), str):
            # OpenAI's short form of a list of one, which MLflow's ChatModel does not take.
            document["stop"] = [document["stop"]]
        return ScoringRequest(JSON, json.dumps(document).encode(), named, document.get("stream") is True)


def model_in(body: bytes) -> str:
    """The model that a body names; BadRequestError when the body names none."""
    document = parse(body)
    model = document.get("model") if isinstance(document, dict) else None
    if not isinstance(model, str) or not model:
        raise BadRequestError("The body must have the field 'model': the name of a served model, or <name>/<version>.")
    return model


def list_of_models(names: list[str]) -> bytes:
    """The answer of ``GET …/models``."""
    return json.dumps({"object": "list", "data": [_model(name) for name in names]}).encode()


def one_model(name: str) -> bytes:
    """The answer of ``GET …/models/<name>``."""
    return json.dumps(_model(name)).encode()


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": "mlflow"}


def _formed(form: Form, model: str, text: bytes) -> bytes:
    text = null_for_nan(text)
    try:
        given = json.loads(text)
    except ValueError:
        return text
    formed = form(given, model)
    return text if formed is given else json.dumps(formed).encode()


def _completion(kind: str, part: str, given: Any, model: str) -> Any:
    """A chat completion, or a chunk of one, of a message, of a ChatAgent's answer, or of a text."""
    if isinstance(given, dict) and "choices" in given:
        return given
    message = given
    if isinstance(given, dict):
        messages = given.get("messages")
        message = messages[-1] if isinstance(messages, list) and messages else given.get("delta", given)
    elif isinstance(given, list) and len(given) == 1:
        (message,) = given
    if not isinstance(message, dict):
        message = {"role": "assistant", "content": message if isinstance(message, str) else json.dumps(message)}
    reason = given.get("finish_reason") if isinstance(given, dict) else None
    if part == "message":
        # Clients that run tools look at the reason only.
        reason = reason or ("tool_calls" if message.get("tool_calls") else "stop")
    choice = {"index": 0, part: message, "finish_reason": reason}
    return {"id": "chatcmpl-0", "object": kind, "created": 0, "model": model, "choices": [choice]}


def _embeddings(given: Any, model: str) -> Any:
    """OpenAI's list of embeddings, of a list of vectors."""
    if not isinstance(given, list):
        return given
    vectors = given if given and isinstance(given[0], list) else [given]
    data = [{"object": "embedding", "index": index, "embedding": vector} for index, vector in enumerate(vectors)]
    return {"object": "list", "data": data, "model": model, "usage": {"prompt_tokens": 0, "total_tokens": 0}}


def _as_it_is(given: Any, _model: str) -> Any:
    return given


CHAT = OpenAi(
    "messages",
    partial(_completion, "chat.completion", "message"),
    partial(_completion, "chat.completion.chunk", "delta"),
)
RESPONSES = OpenAi("input", _as_it_is, _as_it_is)
EMBEDDINGS = OpenAi("input", _embeddings, _as_it_is)
