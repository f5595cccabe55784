"""A live gateway answers within the document that it serves, whatever it is sent, and the document's links lead on."""

from __future__ import annotations

import json
import os
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from typing import Final

import pytest

from tests.fuzz.call_rules import ACCOUNTS, KEY
from tests.fuzz.runs import PROJECT, Runs
from tests.support.gateway_process import GatewayProcess

METHODS: Final = {"get", "post", "put", "patch", "delete"}
SETTINGS: Final = (
    "".join(f'[accounts.{name}]\nprovider = "simulator"\nsimulator.latency = 0.0\n' for name in ACCOUNTS)
    + f'[api_keys.fuzz]\nkey = "{KEY}"\nscopes = ["read", "submit", "admin"]\n'
)
"""With an API key, so that calls without one, or with another, are to be refused."""
WALKED: Final = 5
"""Links that a run follows to a good answer at the least; chance takes about half, and test_links.py each one."""

BUNDLE: Final = json.loads((PROJECT / "generated/batchgate_api/openapi.json").read_text())
OPERATIONS: Final = {
    f"{method.upper()} {path}": operation
    for path, item in BUNDLE["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}


def declared_links() -> Iterator[str]:
    """Name the links of the document as schemathesis does."""
    names = {operation["operationId"]: name for name, operation in OPERATIONS.items()}
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            for link, place in response.get("links", {}).items():
                target = BUNDLE["components"]["links"][place["$ref"].rpartition("/")[2]]["operationId"]
                yield f"{name} -> [{status}] {link} -> {names[target]}"


LINKS: Final = set(declared_links())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("schemathesis")
    master_key = {"BATCHGATE_MASTER_KEY": urlsafe_b64encode(os.urandom(32)).decode()}
    with GatewayProcess(data_dir=folder / "data", settings=SETTINGS, environment=master_key) as gateway:
        yield Runs(gateway, folder)


@pytest.mark.timeout(300)
def test_every_answer_of_a_live_gateway_is_within_its_document(runs: Runs) -> None:
    done = runs.run()
    print(done.stdout)
    assert done.returncode == 0, done.stderr


def test_every_operation_was_called(runs: Runs) -> None:
    # The report leaves out the calls of the operation that the document itself is read by, which every run begins with.
    assert OPERATIONS.keys() - {operation for operation, _ in runs.counts.calls} <= {"GET /openapi.json"}


def test_chains_of_calls_follow_the_links_to_good_answers(runs: Runs) -> None:
    print(runs.counts.table(OPERATIONS))
    assert len(LINKS & runs.counts.links.keys()) >= WALKED
