"""The dashboard and the alerts in handwritten/deploy/ read metrics and labels that exist, and miss no metric."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from tests.drift.test_pages import anchors
from tests.support.promql import UnknownName, labels_of, selected

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "handwritten" / "deploy"
PAGE: Final = (ROOT / "handwritten" / "docs" / "observability.md").read_text()
TABLE: Final = re.findall(r"^\| `((?:batchgate|process)_\w+)` \|([^|]*)\| (.*) \|$", PAGE, re.MULTILINE)
DASHBOARD: Final[dict[str, Any]] = json.loads((DEPLOY / "grafana" / "batchgate.json").read_text())
PANELS: Final[list[dict[str, Any]]] = DASHBOARD["panels"]
RULES: Final[list[dict[str, Any]]] = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
]


def samples() -> Iterator[tuple[str, frozenset[str]]]:
    """Yield the names under which Prometheus stores the metrics of the page, with their labels."""
    for name, label_cell, meaning in TABLE:
        labels = frozenset(re.findall(r"`(\w+)`", label_cell))
        if meaning.startswith("histogram"):
            yield f"{name}_bucket", labels | {"le"}
            yield from ((f"{name}_{suffix}", labels) for suffix in ("sum", "count"))
        else:
            yield name, labels


METRICS: Final = dict(samples())
VARIABLES: Final = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}


def queries() -> Iterator[tuple[str, str, str]]:
    """Yield the title of each panel with an expression, as Prometheus gets it, and its legend."""
    for panel in PANELS:
        for target in panel.get("targets", ()):
            expression = re.sub(r"\$__(rate_interval|range)\b", "5m", target["expr"])
            yield panel["title"], re.sub(r"\$(\w+)", substitute, expression), target["legendFormat"]


def substitute(found: re.Match[str]) -> str:
    assert found[1] in VARIABLES, f"the dashboard has no variable ${found[1]}"
    return ".*"


def test_every_panel_reads_metrics_and_labels_that_exist() -> None:
    for title, expression, legend in queries():
        labels = labels_of(expression, METRICS)
        assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels, title


def test_the_dashboard_shows_every_metric_of_the_gateway() -> None:
    read = {name for _, expression, _ in queries() for name in selected(expression)}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in read}
    assert {name for name, _, _ in TABLE if name.startswith("batchgate_")} <= shown


def test_the_dashboard_can_be_imported_into_any_grafana() -> None:
    assert (DASHBOARD["uid"], DASHBOARD["id"]) == (None, None)
    assert {key for key, number in Counter(panel["id"] for panel in PANELS).items() if number > 1} == set()
    assert VARIABLES["datasource"]["type"] == "datasource"
    text = json.dumps(DASHBOARD)
    assert set(re.findall(r'"uid": ("[^"]*"|null)', text)) == {'"${datasource}"', "null"}
    for variable in VARIABLES.values():
        for metric, label in re.findall(r"label_values\((\w+)[^)]*, (\w+)\)", json.dumps(variable)):
            assert label in METRICS[metric] | {"job"}, variable["name"]


def test_the_panels_fill_the_width_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in PANELS:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        taken |= cells
    width = Counter(y for _, y in taken)
    assert set(width.values()) == {24}
    assert len(width) == max(width) + 1


def test_every_alert_reads_what_exists_and_names_a_runbook() -> None:
    for rule in RULES:
        labels, annotations = labels_of(rule["expr"], METRICS), rule["annotations"]
        assert set(re.findall(r"\$labels\.(\w+)", json.dumps(annotations))) <= labels, rule["alert"]
        assert rule["labels"].keys() == {"severity"}
        assert rule["labels"]["severity"] in {"critical", "warning"}
        page, _, anchor = annotations["runbook"].partition("#")
        assert anchor == rule["alert"].lower()
        assert anchor in anchors(ROOT / page)


def test_every_alert_on_the_page_is_in_the_rules() -> None:
    page = (ROOT / "handwritten" / "docs" / "operating.md").read_text().partition("\n## Alerts\n")[2]
    assert re.findall(r"^### (\w+)$", page, re.MULTILINE) == [rule["alert"] for rule in RULES]


@pytest.mark.parametrize(
    ("expression", "fault"),
    [
        ("sum(batchgate_gone)", "no metric 'batchgate_gone'"),
        ('batchgate_batches{state="x"}', "batchgate_batches has no label state"),
        ("sum by (model) (batchgate_native_jobs)", "no label model"),
        ("histogram_quantile(0.5, sum by (call) (batchgate_native_call_duration_seconds_bucket))", "no label le"),
        ("sum(batchgate_workers) / sum by (job) (batchgate_workers)", "never match"),
        ("batchgate_workers * on (model) batchgate_info", "no label model"),
    ],
)
def test_what_no_metric_has_is_seen(expression: str, fault: str) -> None:
    with pytest.raises(UnknownName, match=re.escape(fault)):
        labels_of(expression, METRICS)
