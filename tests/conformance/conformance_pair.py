"""What the conformance tests compare."""

from __future__ import annotations

from dataclasses import dataclass

from support.server import StockServer, TrackingServer


@dataclass(frozen=True)
class Pair:
    """The serving server, and the stock server of each model."""

    serving: TrackingServer
    stock: dict[str, StockServer]
