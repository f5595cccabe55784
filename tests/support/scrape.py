"""Reads ``/metrics`` as Prometheus does."""

from __future__ import annotations

from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support.running_app import RunningApp


class Scrape:
    """The samples of one scrape."""

    def __init__(self, text: str) -> None:
        self.text = text
        families = list(text_string_to_metric_families(text))
        self.samples = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in families
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        """Return the value of one sample; 0 if there is none, as for a counter that has counted nothing.

        Samples with a workspace label are summed over all workspaces unless one is named.
        """
        wanted = labels.items()
        return sum(
            value
            for (found, of), value in self.samples.items()
            if found == name and (of == wanted or {pair for pair in of if pair[0] != "workspace"} == wanted)
        )

    def labels(self, name: str, label: str) -> set[str]:
        """Return all values of a label of a metric."""
        return {dict(labels)[label] for found, labels in self.samples if found == name}


async def scrape(app: RunningApp, **options: Any) -> Scrape:
    """Read the current metrics."""
    async with app.client.get(f"{app.url}/metrics", **options) as response:
        assert response.status == 200, await response.text()
        return Scrape(await response.text())


async def scrape_until(app: RunningApp, name: str, **labels: str) -> Scrape:
    """Scrape until a sample is not zero."""
    while True:
        found = await scrape(app)
        if found.value(name, **labels):
            return found
