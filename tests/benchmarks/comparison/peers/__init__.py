"""The servers that are compared, in the order in which they run."""

from __future__ import annotations

from comparison.peers.base import Peer
from comparison.peers.bento import BentoML
from comparison.peers.mlserver import MLServer
from comparison.peers.product import Product
from comparison.peers.ray_serve import RayServe
from comparison.peers.stock import Stock

STOCK = "stock"
STOCK_AGAIN = "stock-again"


def all_peers() -> list[Peer]:
    """Every peer; the stock reference is first and last."""
    return [
        Stock(STOCK, "`mlflow models serve`"),
        MLServer("mlserver", "MLServer `/invocations`", v2=False),
        MLServer("mlserver-v2", "MLServer V2, adaptive batching", v2=True),
        RayServe("ray", "Ray Serve, `@serve.batch`"),
        BentoML("bentoml", "BentoML, `batchable=True`"),
        Product("mlflow-off", "this, runtime mlflow, batching off", runtime="mlflow", batching="off"),
        Product("mlflow-auto", "this, runtime mlflow, batching auto", runtime="mlflow", batching="auto"),
        Product("native-off", "this, runtime native, batching off", runtime="native", batching="off"),
        Product("native-auto", "this, runtime native, batching auto", runtime="native", batching="auto"),
        Stock(STOCK_AGAIN, "`mlflow models serve`, again at the end"),
    ]


def select(names: str | None) -> list[Peer]:
    """The peers named, or whose key begins with a name and a dash; all without names."""
    peers = all_peers()
    if not names:
        return peers
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if not any(_matches(peer.key, name) for peer in peers)]
    if unknown:
        known = ", ".join(peer.key for peer in peers)
        raise SystemExit(f"No such peer: {', '.join(unknown)}. There are: {known}")
    return [peer for peer in peers if any(_matches(peer.key, name) for name in wanted)]


def _matches(key: str, name: str) -> bool:
    return key == name or key.startswith(f"{name}-")
