"""What is known of one request while it is answered, and the headers that tell it to the client."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mlflow_serving_plugin.gateway.dialects.base import ReplyFormat
from mlflow_serving_plugin.gateway.dialects.invocations import INVOCATIONS

_PRINTABLE = re.compile(r"[!-~]{1,128}\Z")


@dataclass(slots=True)
class Trail:
    """Filled in as the request goes on. ``spent_s``: seconds by phase, as in ``Server-Timing``."""

    request_id: str
    model: str | None = None
    version: int | None = None
    endpoint_id: str = ""
    """Of the endpoint that the request was found to be for."""
    scoring: bool = True
    """Whether it is to be scored, for all that is known."""
    reply_format: ReplyFormat = INVOCATIONS
    """How the client is answered: by the path, and once the body has been read, by the body."""
    spent_s: dict[str, float] = field(default_factory=dict)

    def spend(self, phase: str, seconds: float) -> None:
        """Add to a phase."""
        self.spent_s[phase] = self.spent_s.get(phase, 0.0) + seconds

    def spend_call(self, spent_us: tuple[int, int, int, int] | None, took_s: float) -> None:
        """Book a round trip: by what the worker says of it, the way there and back as queue; else all as predict."""
        if spent_us is None:
            self.spend("predict", took_s)
            return
        _, decode_us, predict_us, encode_us = spent_us
        self.spend("decode", decode_us / 1e6)
        self.spend("predict", predict_us / 1e6)
        self.spend("encode", encode_us / 1e6)
        self.spend("queue", max(0.0, took_s - (decode_us + predict_us + encode_us) / 1e6))

    def headers(self) -> list[tuple[str, str]]:
        """Headers of every answer: ``X-Request-Id``, the version where known, ``Server-Timing`` when scored."""
        headers = [("X-Request-Id", self.request_id)]
        if self.version is not None:
            headers.append(("X-MLflow-Model-Version", str(self.version)))
        if "predict" in self.spent_s:
            spent = self.spent_s.get
            headers.append(
                (
                    "Server-Timing",
                    f"auth;dur={spent('auth', 0.0) * 1e3:.3f}, queue;dur={spent('queue', 0.0) * 1e3:.3f}, "
                    f"decode;dur={spent('decode', 0.0) * 1e3:.3f}, predict;dur={spent('predict', 0.0) * 1e3:.3f}, "
                    f"encode;dur={spent('encode', 0.0) * 1e3:.3f}",
                )
            )
        return headers


def request_id_of(headers: Mapping[str, str]) -> str:
    """The client's ``X-Request-Id`` if it can stand in a header and a log line, else a new one."""
    given = headers.get("x-request-id")
    return given if given and _PRINTABLE.match(given) else os.urandom(16).hex()
