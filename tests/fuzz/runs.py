"""Runs schemathesis against a gateway and counts from its report the calls, their statuses and the links followed."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Raw, Struct

from tests.support.gateway_process import GatewayProcess, clean_environment

HERE: Final = Path(__file__).parent
PROJECT: Final = HERE.parent.parent
_REPORT: Final = "report.ndjson"


class SentCall(Struct, frozen=True):
    """The content of a call."""

    method: str
    path: str
    """The path template of the document, with the names of its parameters."""
    path_parameters: dict[str, object] = {}
    query: dict[str, object] = {}
    body: Raw = Raw(b"null")


class Extracted(Struct, frozen=True):
    """A value that a link takes from the previous response; None if the response lacks it."""

    value: object = None


class Transition(Struct, frozen=True):
    """A link of the document that schemathesis followed."""

    id: str
    parameters: dict[str, dict[str, Extracted]] = {}
    request_body: Extracted | None = None


class Case(Struct, frozen=True):
    """A call, and the link that led to it."""

    value: SentCall
    transition: Transition | None = None

    def followed(self) -> str | None:
        """Return the id of the link, if the call carries every value that the link takes from the previous response."""
        if self.transition is None:
            return None
        linked_values = [pair for place in self.transition.parameters.values() for pair in place.items()]
        sent = self.value.path_parameters | self.value.query
        complete = all(found.value is not None and sent.get(name) == found.value for name, found in linked_values)
        return self.transition.id if complete and self._carries_the_body(self.transition.request_body) else None

    def _carries_the_body(self, linked: Extracted | None) -> bool:
        if linked is None:
            return True
        body = msgspec.json.decode(self.value.body)
        return isinstance(linked.value, dict) and isinstance(body, dict) and linked.value.items() <= body.items()


class Response(Struct, frozen=True):
    """The response to a call."""

    status_code: int


class Interaction(Struct, frozen=True):
    """The outcome of a call."""

    response: Response | None = None


class Recorder(Struct, frozen=True):
    """The calls of a scenario, by id."""

    cases: dict[str, Case] = {}
    interactions: dict[str, Interaction] = {}


class Scenario(Struct, frozen=True):
    """One scenario: calls of one operation, or a chain of calls."""

    phase: str
    recorder: Recorder


class Event(Struct, frozen=True):
    """A line of the report; only the lines that end scenarios are read."""

    scenario: Scenario | None = msgspec.field(default=None, name="ScenarioFinished")


class Counts(Struct, frozen=True):
    """The number of calls of each operation, and of links followed to a response with status 200."""

    calls: Counter[tuple[str, str]]
    """By operation and phase."""
    successful: Counter[str]
    """Calls with status 200, by operation."""
    links: Counter[str]

    def table(self, operations: Iterable[str]) -> str:
        """Format the counts as a table; calls with undeclared methods are only in the sum."""
        phases = sorted({phase for _, phase in self.calls})
        lines = [f"{'calls':64} {'200':>6} " + " ".join(f"{phase:>9}" for phase in phases)]
        for operation in sorted(operations):
            by_phase = " ".join(f"{self.calls[operation, phase]:9}" for phase in phases)
            lines.append(f"{operation:64} {self.successful[operation]:6} {by_phase}")
        lines.append(f"{self.calls.total()} calls; {len(self.links)} links followed {self.links.total()} times:")
        lines += [f"{times:6}  {link}" for link, times in sorted(self.links.items())]
        return "\n".join(lines)


class Runs:
    """Runs of schemathesis against one gateway; ``counts`` adds up all runs."""

    def __init__(self, gateway: GatewayProcess, folder: Path) -> None:
        self._gateway = gateway
        self._folder = folder
        self.counts = Counts(Counter(), Counter(), Counter())

    def run(self, *options: str) -> subprocess.CompletedProcess[str]:
        """Run schemathesis with these options and add its calls to ``counts``."""
        command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"), "run"]
        command += [f"{self._gateway.url}/openapi.json", "--report-ndjson-path", str(self._folder / _REPORT), *options]
        environment = clean_environment({"SCHEMATHESIS_HOOKS": str(HERE / "call_rules.py"), "COLUMNS": "120"})
        finished = subprocess.run(
            command, cwd=self._folder, env=environment, capture_output=True, text=True, timeout=240, check=False
        )
        for scenario in self._scenarios():
            self._count(scenario)
        return finished

    def _scenarios(self) -> Iterator[Scenario]:
        decoder = msgspec.json.Decoder(Event)
        with (self._folder / _REPORT).open("rb") as report:
            for line in report:
                if line.strip() and (scenario := decoder.decode(line).scenario) is not None:
                    yield scenario

    def _count(self, scenario: Scenario) -> None:
        for id_, case in scenario.recorder.cases.items():
            operation = f"{case.value.method} {case.value.path}"
            self.counts.calls[operation, scenario.phase] += 1
            response = scenario.recorder.interactions.get(id_, Interaction()).response
            if response is not None and response.status_code == 200:
                self.counts.successful[operation] += 1
                if (link := case.followed()) is not None:
                    self.counts.links[link] += 1
