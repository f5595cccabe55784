"""Converts the problems in /health into texts that tests can compare."""

from collections.abc import Mapping
from typing import Any


def problem_texts(health: Mapping[str, Any]) -> list[str]:
    """Return each problem as ``component: message``, and check that it has all its fields."""
    for problem in health["problems"]:
        assert problem.keys() == {"code", "component", "since", "message"}
    return [f"{problem['component']}: {problem['message']}" for problem in health["problems"]]
