"""The dashboard and the alerts ask for metrics, labels and values that ``/serving/metrics`` really has."""

from __future__ import annotations

import json
import re
from collections import defaultdict

import pytest
import yaml
from click.testing import CliRunner
from prometheus_client.parser import text_string_to_metric_families
from support.api import worker
from support.promql import read_query
from support.routes import an_entity, routes_of

from mlflow_serving_plugin.cli.main import main
from mlflow_serving_plugin.metrics.exposition import expose
from mlflow_serving_plugin.metrics.families import FAMILIES, PASSWORDS, REQUEST_LOG, TRACES
from mlflow_serving_plugin.request_log.spool import DROPPED, TAKEN
from mlflow_serving_plugin.request_log.writer import WRITTEN

OUTCOMES = {REQUEST_LOG: (TAKEN, DROPPED, WRITTEN), TRACES: ("stored", "dropped"), PASSWORDS: ("wrong", "delayed")}


def printed(*options: str) -> str:
    result = CliRunner().invoke(main, ["grafana", *options])
    assert result.exit_code == 0, result.output
    return result.stdout


def expressions() -> list[str]:
    panels = json.loads(printed())["panels"]
    rules = [rule for group in yaml.safe_load(printed("--alerts"))["groups"] for rule in group["rules"]]
    asked = [target["expr"] for panel in panels for target in panel.get("targets", [])]
    return [*asked, *(rule["expr"] for rule in rules)]


@pytest.fixture(scope="module")
def exposed() -> dict[str, dict[str, set[str]]]:
    """The values of each label by the name of the sample, on a server with workspaces where everything has happened."""
    labels = {"model": "e1", "version": "1", "status": "429"}
    totals = {
        (name, *(outcome if label == "outcome" else labels.get(label, "x") for label in family.labels)): [1.0]
        * family.size
        for name, family in FAMILIES.items()
        for outcome in OUTCOMES.get(name, ("none",))
    }
    page, _ = expose(totals, routes_of(an_entity(1, workers=(worker(),))), workspaces=True, accept="text/plain")
    found: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(page.decode()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                found[sample.name][label].add(value)
            found[sample.name]["instance"].add("of Prometheus itself")
    return found


def test_every_metric_label_and_value_that_is_asked_for_is_exposed(exposed) -> None:
    asked = expressions()
    assert len(asked) > 40
    for expression in asked:
        query = read_query(expression)
        for metric, matchers in query.matched:
            assert metric in exposed, expression
            for label, value in matchers:
                assert label in exposed[metric], expression
                assert not re.fullmatch(r"\w+", value) or value in exposed[metric][label], expression
            assert query.grouped <= set(exposed[metric]), expression


@pytest.mark.parametrize(
    "expression",
    ["sum(rate(nosuch_total[5m])", 'sum by (a) (m{a="b})', "m{a}", "frobnicate(m)", "sum(1)"],
)
def test_what_is_no_query_is_noticed(expression: str) -> None:
    with pytest.raises(AssertionError):
        read_query(expression)


def test_the_variables_of_the_dashboard_are_all_defined_and_its_panels_do_not_overlap() -> None:
    board = json.loads(printed())
    defined = {variable["name"] for variable in board["templating"]["list"]} | {"__rate_interval"}
    assert set(re.findall(r"\$\{?(\w+)", json.dumps(board))) - {"__all"} == defined
    places = [panel["gridPos"] for panel in board["panels"]]
    cells = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(cells) == len(set(cells))
    assert all(0 <= x < 24 for x, _ in cells)
    assert len({panel["id"] for panel in board["panels"]}) == len(places)


def test_every_metric_is_on_the_dashboard_but_those_that_only_the_page_needs() -> None:
    shown = " ".join(expressions())
    left_out = {name for name, family in FAMILIES.items() if f"mlflow_serving_{family.name}" not in shown}
    assert left_out == {"last_request"}


def test_every_alert_says_what_is_wrong_and_what_to_look_at() -> None:
    (group,) = yaml.safe_load(printed("--alerts"))["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(set(names)) == len(names)
    for rule in group["rules"]:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in ("critical", "warning")
        assert set(rule["annotations"]) == {"summary", "description"}
        named = set(re.findall(r"\$labels\.(\w+)", str(rule["annotations"])))
        assert named <= read_query(rule["expr"]).grouped, rule["alert"]
