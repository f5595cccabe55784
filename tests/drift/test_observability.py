"""The page on observability lists exactly the metrics, log actions and log fields that exist."""

import ast
import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

from batchgate.engine.ports.telemetry import EngineState
from batchgate.telemetry import Metrics
from batchgate.telemetry.log_lines import FIELDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "handwritten" / "docs" / "observability.md").read_text()


def rows(heading: str) -> list[str]:
    """Read the first column of the table whose first column has this heading."""
    table = PAGE.split(f"\n| {heading} |", 1)[1].split("\n\n", 1)[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


def served_metrics() -> set[str]:
    empty_state = EngineState(limiters=(), backlog=None, waiting_seconds=0.0, problems=0, damaged_blobs=0, workers=1)
    text = asyncio.run(Metrics("1", "both").expose(empty_state)).decode()
    return set(re.findall(r"^# TYPE (\S+) ", text, re.MULTILINE))


def logged_actions() -> Iterator[str]:
    """Yield the actions in the source: the value of each ``"action"`` in a dict."""
    for path in (ROOT / "handwritten" / "batchgate").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict):
                for key, value in zip(node.keys, node.values, strict=True):
                    if isinstance(key, ast.Constant) and key.value == "action" and isinstance(value, ast.Constant):
                        yield str(value.value)


def records_without_an_action() -> Iterator[str]:
    """Yield the places of logger calls without ``extra``."""
    for path in (ROOT / "handwritten" / "batchgate").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in {"debug", "info", "warning", "error", "exception", "critical"}
                and ast.unparse(node.func.value).endswith("logger")
                and not any(keyword.arg == "extra" for keyword in node.keywords)
            ):
                yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_the_page_lists_exactly_the_metrics_that_are_served() -> None:
    assert sorted(rows("metric")) == sorted(served_metrics())


def test_the_page_lists_exactly_the_actions_that_are_logged() -> None:
    assert sorted(rows("action")) == sorted({*logged_actions(), "log"})


def test_every_record_that_the_gateway_logs_has_an_action() -> None:
    assert not list(records_without_an_action())


def test_the_page_lists_exactly_the_fields_that_are_written() -> None:
    assert rows("field") == list(FIELDS)
