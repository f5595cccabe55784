"""Workspace names as metric labels; their number is bounded, since each has time series of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

WORKSPACE_LABEL: Final = "workspace"
MAX_WORKSPACES: Final = 200
OTHER_WORKSPACES: Final = "other"
"""The label of all other workspaces, and of a workspace with this name."""


class WorkspaceLabels:
    """Gives labels to the first workspaces that occur; all others share one label."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, workspace: str) -> str:
        """Return the label of a workspace."""
        if workspace not in self._known:
            if len(self._known) >= MAX_WORKSPACES:
                return OTHER_WORKSPACES
            self._known.add(workspace)
        return workspace


class WorkspaceFilter(Collector):
    """Yields the metrics of one workspace; none if it shares its label with others."""

    def __init__(self, registry: CollectorRegistry, workspace: str) -> None:
        self._registry = registry
        self._workspace = workspace

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have a sample of the workspace."""
        for metric in self._registry.collect() if self._workspace != OTHER_WORKSPACES else ():
            metric.samples = [
                sample for sample in metric.samples if sample.labels.get(WORKSPACE_LABEL) == self._workspace
            ]
            if metric.samples:
                yield metric
