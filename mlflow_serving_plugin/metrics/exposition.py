"""The metrics of a host in the formats that Prometheus reads. Fed by files and the routes snapshot; feeds the API."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from mlflow_serving_plugin.domain.routes import EndpointRoute, Routes
from mlflow_serving_plugin.domain.states import EndpointState
from mlflow_serving_plugin.metrics.families import FAMILIES, Family
from mlflow_serving_plugin.metrics.files import Totals

_NAMESPACE = "mlflow_serving_"


def expose(totals: Totals, routes: Routes, *, workspaces: bool, accept: str) -> tuple[bytes, str]:
    """The page and its content type, in the format that the header ``Accept`` asks for."""
    registry = CollectorRegistry()
    registry.register(HostCollector(totals, routes, workspaces=workspaces))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


class HostCollector(Collector):
    """The metrics of one moment. Series of an endpoint that is not served have no name to be shown under."""

    def __init__(self, totals: Totals, routes: Routes, *, workspaces: bool) -> None:
        self._totals = totals
        self._routes = routes
        self._endpoints = routes.endpoints.values()
        self._by_id = {endpoint.id: endpoint for endpoint in self._endpoints}
        self._workspaces = workspaces

    def describe(self) -> list[Metric]:
        """Nothing: the registry is of one moment too."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All families, also those without a series."""
        for name, family in FAMILIES.items():
            made = _made(family, self._label_names(family.labels))
            for series, values in self._totals.items():
                if series[0] == name and (labels := self._label_values(family, series[1:])) is not None:
                    _add(made, family, labels, values)
            yield made
        yield self._workers()
        yield self._replicas()
        yield self._states()

    def _workers(self) -> Metric:
        labels = self._label_names(("model", "version", "state"))
        workers = GaugeMetricFamily(
            f"{_NAMESPACE}workers", "Workers by state: ready, starting or draining.", labels=labels
        )
        for endpoint in self._endpoints:
            for entity in self._routes.entities_of(endpoint):
                for state in ("ready", "starting", "draining"):
                    workers.add_metric([*self._names(endpoint), entity.name, state], entity.worker_states[state])
        return workers

    def _replicas(self) -> Metric:
        replicas = GaugeMetricFamily(
            f"{_NAMESPACE}replicas",
            "Workers that a version is to have (wanted; 0: the version sleeps) and has (ready).",
            labels=self._label_names(("model", "version", "state")),
        )
        for endpoint in self._endpoints:
            for entity in self._routes.entities_of(endpoint):
                names = [*self._names(endpoint), entity.name]
                replicas.add_metric([*names, "wanted"], entity.replicas)
                replicas.add_metric([*names, "ready"], len(entity.ready_workers))
        return replicas

    def _states(self) -> Metric:
        states = GaugeMetricFamily(
            f"{_NAMESPACE}endpoint_state",
            "1 for the state that an endpoint is in, 0 for every other: empty, starting, ready, degraded or failed.",
            labels=self._label_names(("model", "state")),
        )
        for endpoint in self._endpoints:
            for state in EndpointState:
                states.add_metric([*self._names(endpoint), state.value.lower()], endpoint.state is state)
        return states

    def _label_names(self, labels: tuple[str, ...]) -> list[str]:
        return [*(["workspace"] if self._workspaces and "model" in labels else []), *labels]

    def _label_values(self, family: Family, labels: tuple[object, ...]) -> list[str] | None:
        if "model" not in family.labels:
            return [str(label) for label in labels]
        endpoint_id, version, *others = labels
        endpoint = self._by_id.get(str(endpoint_id))
        if endpoint is None and endpoint_id:
            return None
        shown = "" if version is None else str(version)
        return [*self._names(endpoint), shown, *(str(label) for label in others)]

    def _names(self, endpoint: EndpointRoute | None) -> list[str]:
        names = [endpoint.workspace, _name(endpoint)] if endpoint else ["", ""]
        return names if self._workspaces else names[1:]


def _name(endpoint: EndpointRoute) -> str:
    """A model's name can hold no slash, so that a serving endpoint may have the name of a model."""
    return endpoint.name if endpoint.models is None else f"serving-endpoints/{endpoint.name}"


def _made(family: Family, labels: list[str]) -> Any:
    kind = HistogramMetricFamily if family.bounds else GaugeMetricFamily if family.gauge else CounterMetricFamily
    return kind(_NAMESPACE + family.name, family.help, labels=labels)


def _add(made: Any, family: Family, labels: list[str], values: list[float]) -> None:
    if not family.bounds:
        made.add_metric(labels, values[0])
        return
    *buckets, total = values
    upper = [*(str(float(bound)) for bound in family.bounds), "+Inf"]
    made.add_metric(labels, list(zip(upper, accumulate(buckets), strict=True)), total)
