"""Serving endpoints under load: updates of which some fail, and shadows of every unpleasant kind."""

from __future__ import annotations

import json
import statistics
import time
from collections import Counter
from typing import Any

import requests
from support import eventually
from support.models import register
from support.server import HTTP_S, TrackingServer

from .client import Request
from .load import Figures, Load
from .report import Report, Size
from .world import BODY, models, serving

_UPDATES = 20
_ROUNDS = 6
_SHADOW_TIMES = 3
"""The scenario of shadows takes so many times as long as others: a percentile of few requests says nothing."""
_RATE = 50.0
_CLIENTS = 500
_ALLOWED = {("READY", "NOT_UPDATING"), ("READY", "IN_PROGRESS"), ("READY", "UPDATE_FAILED")}
"""What Databricks shows of an endpoint that has been ready once."""

_SHADES = ("slow", "raise", "burn", "")


def updated(report: Report, size: Size) -> None:
    """Twenty updates under load, every third of which has an entity that does not load: no request fails."""
    with serving(1, 2, workers=2) as server:
        register(server.client, "broken", models().path("unloadable"))
        _create(server, "busy", [_entity("iris", "1")])
        failed, seen = 0, set()

        def settled() -> bool:
            state = _get(server, "busy")["state"]
            seen.add((state["ready"], state["config_update"]))
            return state["config_update"] != "IN_PROGRESS"

        with Load(server.port, _to("busy"), rate=size.rate) as load:
            for number in range(1, _UPDATES + 1):
                entity = _entity("broken", "1") if number % 3 == 0 else _entity("iris", str(1 + number % 2))
                _put(server, "busy", {"served_entities": [entity]})
                eventually(settled, within_s=120, tail=server.tail)
                failed += _get(server, "busy")["state"]["config_update"] == "UPDATE_FAILED"
        report.none_failed(f"{_UPDATES} updates, of which {failed} failed", load.figures)
        report.none_lost(f"{_UPDATES} updates", load.figures)
        report.check("every third update failed", failed == _UPDATES // 3, str(failed))
        report.check("get shows nothing that Databricks would not", seen <= _ALLOWED, str(seen - _ALLOWED))


def shadowed(report: Report, size: Size) -> None:
    """Shadows that are slow, raise, burn a processor, flood or sleep: the caller's times with and without, in turn."""
    with TrackingServer(workers=1) as server:
        register(server.client, "shady", models().path("shady"))
        names = ["alone", *(f"with-{shade or 'flood'}" for shade in _SHADES), "with-sleeper"]
        _create(server, "alone", [_entity("shady", "1", name="now")])
        for name, shade in zip(names[1:], (*_SHADES, ""), strict=True):
            shadow = _entity("shady", "1", name="next", environment_vars={"SHADE": shade} if shade else {})
            shadow["scale_to_zero_enabled"] = name == "with-sleeper"
            _create(server, name, [_entity("shady", "1", name="now"), shadow], shadow="next")
        found: dict[str, list[Figures]] = {name: [] for name in names}
        for number in range(_ROUNDS):
            for name in _in_turn(names, number):
                with Load(server.port, _to(name), rate=min(size.rate, _RATE)) as load:
                    time.sleep(_SHADOW_TIMES * size.seconds / _ROUNDS / len(names))
                found[name].append(load.figures)
                if name != "alone":
                    # What a shadow still has to do is not to be charged to the next one.
                    sent = sum(len(figures.latencies_ms) for figures in found[name])
                    eventually(lambda name=name, sent=sent: _shadowed(server, name) >= sent, within_s=60)
        alone = _p99(found["alone"])
        for name in names:
            whole = Figures(
                [ms for figures in found[name] for ms in figures.latencies_ms],
                [failure for figures in found[name] for failure in figures.failures],
            )
            report.none_failed(name, whole)
            if name != "alone":
                report.say(f"{name}: {json.dumps(_agreement(server, name))}")
                report.below(f"{name}: p99 against without a shadow", _p99(found[name]) / alone, 1.1, "times", size)


def split_on_two_hosts(report: Report, size: Size) -> None:
    """Two servers with state directories of their own share a database: shares hold, clients stay, an update waits."""
    with serving(1, 2) as first:
        second = TrackingServer(backend=f"sqlite:///{first.root}/mlflow.db")
        second.artifacts = first.artifacts
        with second:
            _create(first, "split", [_entity("iris", str(number), name=f"v{number}") for number in (1, 2)], share=80)
            _ready_on(second, "split")
            seen: dict[int, dict[str, str]] = {}
            for server in (first, second):
                names = seen[server.port] = {}
                with requests.Session() as session:
                    for number in range(_CLIENTS):
                        headers = {"Content-Type": "application/json", "X-Client-Request-Id": f"client {number}"}
                        url = f"{server.url}/serving-endpoints/split/invocations"
                        answer = session.post(url, data=BODY, headers=headers, timeout=HTTP_S)
                        names[f"client {number}"] = answer.headers.get("Served-Model-Name", answer.text)
            one, other = seen.values()
            differ = {client: (one[client], other[client]) for client in one if one[client] != other[client]}
            report.check("each client stays with its entity on both hosts", not differ, str(differ)[:1000])
            share = 100 * Counter(one.values())["v1"] / _CLIENTS
            report.check(f"{share:.1f} % of {_CLIENTS} clients at an entity of 80 %", abs(share - 80) < 6)
            _put(first, "split", {"served_entities": [_entity("iris", "2", name="only")]})
            with Load(second.port, _to("split"), rate=size.rate / 4) as load:
                eventually(lambda: _get(first, "split")["state"]["config_update"] == "NOT_UPDATING", within_s=120)
                state = _get(second, "split")["state"]
                report.check("an update ends once both hosts are ready", state["ready"] == "READY", str(state))
            report.none_failed("on the second host, during the update", load.figures)


def _ready_on(server: TrackingServer, name: str) -> None:
    """Wait as Databricks' clients do: until the endpoint is ready and no update is under way."""
    done = {"ready": "READY", "config_update": "NOT_UPDATING"}
    eventually(lambda: done.items() <= _get(server, name).get("state", {}).items(), within_s=120, tail=server.tail)


def _p99(rounds: list[Figures]) -> float:
    """The median of the rounds: what else the machine does in one of them does not count."""
    return statistics.median(figures.percentile(0.99) for figures in rounds)


def _entity(model: str, version: str, **more: Any) -> dict[str, Any]:
    return {"entity_name": model, "entity_version": version, **more}


def _to(name: str) -> Any:
    request = Request(f"/serving-endpoints/{name}/invocations", BODY)
    return lambda _: request


def _create(
    server: TrackingServer, name: str, entities: list[dict[str, Any]], *, shadow: str = "", share: int = 100
) -> None:
    names, shares = [entity.get("name", "iris-1") for entity in entities], (share, 100 - share)
    traffic = [{"served_model_name": one, "traffic_percentage": part} for one, part in zip(names, shares, strict=False)]
    config: dict[str, Any] = {"served_entities": entities, "traffic_config": {"routes": traffic}}
    if shadow:
        config["shadow"] = {"served_model_name": shadow, "percentage": 100}
    made = requests.post(_url(server), json={"name": name, "config": config}, timeout=HTTP_S)
    assert made.status_code == 200, made.text
    _ready_on(server, name)


def _put(server: TrackingServer, name: str, config: dict[str, Any]) -> None:
    answer = requests.put(f"{_url(server)}/{name}/config", json=config, timeout=HTTP_S)
    assert answer.status_code == 200, answer.text


def _get(server: TrackingServer, name: str) -> dict[str, Any]:
    return requests.get(f"{_url(server)}/{name}", timeout=HTTP_S).json()


def _agreement(server: TrackingServer, name: str) -> dict[str, Any]:
    return requests.get(f"{_url(server)}/{name}/shadow", timeout=HTTP_S).json()


def _in_turn(names: list[str], number: int) -> list[str]:
    """Another order in each round: what the server does every ten seconds is not to meet the same shadow each time."""
    turned = names[number:] + names[:number]
    return turned[::-1] if number % 2 else turned


def _shadowed(server: TrackingServer, name: str) -> int:
    """The requests that an endpoint's shadow has had, or has been spared."""
    told = _agreement(server, name)
    return told["requests"] + told["dropped"]


def _url(server: TrackingServer) -> str:
    return f"{server.url}/api/2.0/serving-endpoints"
