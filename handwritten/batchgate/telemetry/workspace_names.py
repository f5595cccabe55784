"""Names of workspaces as labels: so many are told apart, since each has time series of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

LABEL: Final = "workspace"
MOST_WORKSPACES: Final = 200
OTHERS: Final = "other"
"""The label of all further workspaces, and of one that is called so."""


class WorkspaceNames:
    """The workspaces that are told apart: the first that were met."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def label(self, workspace: str) -> str:
        """Tell under which name a workspace is counted."""
        if workspace not in self._known:
            if len(self._known) >= MOST_WORKSPACES:
                return OTHERS
            self._known.add(workspace)
        return workspace


class OfOneWorkspace(Collector):
    """Shows what is counted for one workspace alone; nothing of one that shares its label."""

    def __init__(self, registry: CollectorRegistry, workspace: str) -> None:
        self._registry = registry
        self._workspace = workspace

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics that have a sample of the workspace."""
        for metric in self._registry.collect() if self._workspace != OTHERS else ():
            metric.samples = [sample for sample in metric.samples if sample.labels.get(LABEL) == self._workspace]
            if metric.samples:
                yield metric
