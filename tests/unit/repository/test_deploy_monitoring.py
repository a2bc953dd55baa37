"""Dashboards and alerts ask for metrics that are sent, in Prometheus's language; each alert has a runbook."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import airflow
import promql_parser
import pytest
import yaml

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy" / "monitoring"
ALERTS = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"][0]["rules"]
DASHBOARD = json.loads((FOLDER / "dashboard.json").read_text(encoding="utf-8"))
MAPPINGS = yaml.safe_load((FOLDER / "statsd-mapping.yaml").read_text(encoding="utf-8"))["mappings"]
EXPRESSIONS = [
    *((rule["alert"], rule["expr"]) for rule in ALERTS),
    *((panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel["targets"]),
]


def sent_by_us() -> Iterator[str]:
    """Names of our metrics, from the code that sends them."""
    tree = ast.parse((ROOT / "plugins/moderation_airflow/metrics.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            yield from (f"moderation.{key.value}" for key in node.keys if isinstance(key, ast.Constant))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"stats.gauge", "stats.incr"}:
            name = ast.unparse(node.args[0]).replace("{PREFIX}", "moderation").strip("f'\"")
            if "{" not in name:  # the others are keys of a dict
                yield name
    text = (ROOT / "plugins/rekognition/metrics.py").read_text(encoding="utf-8")
    yield from re.findall(r'^[A-Z_]+ = "(moderation\.\w+)"$', text, re.MULTILINE)


@cache
def sent() -> frozenset[str]:
    """Every StatsD name that can arrive, what differs in it as `*`."""
    path = Path(airflow.__file__).parent / "_shared/observability/metrics/metrics_template.yaml"
    airflows = yaml.safe_load(path.read_text(encoding="utf-8"))["metrics"]
    names = {metric[key] for metric in airflows for key in ("name", "legacy_name") if metric[key] != "-"}
    return frozenset("airflow." + re.sub(r"\{\w+\}", "*", name) for name in names | set(sent_by_us()))


def after_the_exporter() -> set[str]:
    """What these names are in Prometheus."""
    mapped = {rule["match"]: rule["name"] for rule in MAPPINGS}
    return {mapped.get(name, re.sub(r"[.-]", "_", name)) for name in sent()}


def selectors(node: Any) -> Iterator[Any]:
    """Every selector of a parsed expression."""
    if isinstance(node, promql_parser.VectorSelector):
        yield node
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from selectors(node.vector_selector)
    for part in ("lhs", "rhs", "expr"):
        if (below := getattr(node, part, None)) is not None:
            yield from selectors(below)
    for argument in getattr(node, "args", None) or ():
        yield from selectors(argument)


@pytest.mark.parametrize(("title", "expression"), EXPRESSIONS, ids=[f"{t}:{e[:40]}" for t, e in EXPRESSIONS])
def test_an_expression_asks_for_metrics_that_are_sent_by_labels_that_they_have(title, expression):
    labels = {rule["name"]: {*rule["labels"], "quantile"} for rule in MAPPINGS}
    found = list(selectors(promql_parser.parse(expression)))
    assert found
    for selector in found:
        assert selector.name in after_the_exporter()
        asked = {matcher.name for matcher in selector.matchers.matchers}
        assert asked <= labels.get(selector.name, set())


@pytest.mark.parametrize("expression", [text for _, text in EXPRESSIONS if "increase(" in text])
def test_the_first_count_of_a_counter_is_seen_too(expression):
    for counter, span in re.findall(r"increase\(([^\[\]()]+)\[(\w+)\]\)", expression):
        assert f"({counter} unless {counter} offset {span}) or increase" in expression


@pytest.mark.parametrize("rule", MAPPINGS, ids=lambda rule: rule["match"])
def test_a_mapping_meets_a_metric_that_is_sent_and_names_its_parts(rule):
    assert rule["match"] in sent()
    assert sorted(rule["labels"].values()) == [f"${n}" for n in range(1, rule["match"].count("*") + 1)]


def test_a_metric_that_is_not_sent_is_found() -> None:
    assert "airflow_moderation_images" in after_the_exporter()
    assert "airflow_moderation_pictures" not in after_the_exporter()
    assert "airflow.moderation.cost_usd" in sent()


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_says_what_it_is_and_has_a_runbook(rule):
    path, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor in {heading.lower() for heading in headings}
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"].endswith(".")


def test_an_alert_that_looks_at_a_task_names_one_that_there_is() -> None:
    dag = (ROOT / "dags/moderate_images.py").read_text(encoding="utf-8")
    for _, expression in EXPRESSIONS:
        for task in re.findall(r'task_id="(\w+)"', expression):
            assert f'task_id="{task}"' in dag
        for dag_id in re.findall(r'dag_id="(\w+)"', expression):
            assert f'dag_id="{dag_id}"' in dag


def test_every_metric_of_ours_is_in_the_guide() -> None:
    guide = (ROOT / "docs/operations.md").read_text(encoding="utf-8").partition("## Metrics")[2]
    for name in sent_by_us():
        short = name.removeprefix("moderation")
        assert f"`{name}`" in guide or f"`{short}`" in guide, name
