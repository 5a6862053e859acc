"""Readiness of a worker: it answers a ping, then a real prediction on the model's input example."""

from __future__ import annotations

import http.client
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

from mlflow_serving_plugin.backends.base import WorkerFailedError
from mlflow_serving_plugin.backends.refusals import Refusal, note_on, read_refusal
from mlflow_serving_plugin.domain.entity import Example
from mlflow_serving_plugin.links.frames_connection import DroppedError, FrameConnection
from mlflow_serving_plugin.links.unix_http import UnixHTTPConnection
from mlflow_serving_plugin.worker.wire import WireError

_POLL_S = 0.02
_PING_TIMEOUT_S = 5.0
_BROKEN = (OSError, http.client.HTTPException, WireError)


@dataclass(frozen=True, slots=True)
class Trial:
    """How a worker did with the model's own input example; see the fields of ``Worker``."""

    scored_example: bool = False
    example_form: int | None = 0
    example_note: str = ""


class Probe(ABC):
    """One worker seen from outside."""

    def __init__(self, address: str) -> None:
        self._address = address

    def wait_until_answering(self, deadline: float, give_up: Callable[[], str | None]) -> None:
        """Wait until the worker answers a ping.

        ``deadline`` by ``time.monotonic``. ``give_up`` is called at each attempt. A reason that it returns, or the
        deadline, raises WorkerFailedError.
        """
        while True:
            if (reason := give_up()) is not None:
                raise WorkerFailedError(reason)
            try:
                if self._ping():
                    return
            except _BROKEN:
                pass
            if time.monotonic() > deadline:
                raise WorkerFailedError("The worker did not answer within the start timeout. See the version's log.")
            time.sleep(_POLL_S)

    def try_example(self, example: Example, deadline: float) -> Trial:
        """Score the model's own input example, in the first of its forms that the model takes.

        WorkerFailedError when nothing can be scored: the worker is lost, does not answer in time, or answers with an
        error that every request would get. Any other error is about one body, and the model may score others.
        """
        first = ""
        for form, body in enumerate(example.forms):
            refusal = self._try(body, max(1.0, deadline - time.monotonic()))
            if refusal is None:
                note = note_on(example, first, body) if form else ""
                return Trial(scored_example=True, example_form=form, example_note=note)
            if refusal.any_body:
                raise WorkerFailedError(f"The model loaded, but cannot score any request: {refusal.said}")
            first = first or refusal.said
        return Trial(example_form=None, example_note=note_on(example, first, None))

    def _try(self, example: Example, timeout_s: float) -> Refusal | None:
        try:
            status, body = self._score(example, timeout_s)
        except (TimeoutError, DroppedError):
            raise WorkerFailedError(
                f"The model loaded, but did not score its own input example within {timeout_s:g} s."
            ) from None
        except _BROKEN:
            raise WorkerFailedError("The worker died while scoring the model's own input example.") from None
        if status == 200:
            return None
        refusal = read_refusal(status, body)
        if status == 504 and not refusal.raised:
            raise WorkerFailedError("The model loaded, but scoring its own input example reached the request timeout.")
        return refusal

    @abstractmethod
    def _ping(self) -> bool: ...

    @abstractmethod
    def _score(self, example: Example, timeout_s: float) -> tuple[int, bytes]: ...


class HttpProbe(Probe):
    """Of a stock server."""

    def _ping(self) -> bool:
        return self._request("GET", "/ping", None, _PING_TIMEOUT_S)[0] == 200

    def _score(self, example: Example, timeout_s: float) -> tuple[int, bytes]:
        return self._request("POST", "/invocations", example, timeout_s)

    def _request(self, method: str, path: str, example: Example | None, timeout_s: float) -> tuple[int, bytes]:
        with closing(UnixHTTPConnection(self._address, timeout_s)) as connection:
            headers = {"Content-Type": example.content_type} if example else {}
            connection.request(method, path, body=example.body if example else None, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()


class FrameProbe(Probe):
    """Of a native worker."""

    def _ping(self) -> bool:
        with closing(FrameConnection(self._address, _PING_TIMEOUT_S)) as connection:
            connection.ping(_PING_TIMEOUT_S)
        return True

    def _score(self, example: Example, timeout_s: float) -> tuple[int, bytes]:
        with closing(FrameConnection(self._address, _PING_TIMEOUT_S)) as connection:
            response = connection.call(example.content_type, example.body, timeout_s)
        return response.status, response.body
