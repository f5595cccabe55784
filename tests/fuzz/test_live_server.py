"""A live gateway answers every valid and invalid call as its OpenAPI document declares, and the links work."""

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
    'trusted_proxies = ["127.0.0.1"]\n'
    + "".join(f'[accounts.{name}]\nprovider = "simulator"\nsimulator.latency = 0.0\n' for name in ACCOUNTS)
    + f'[api_keys.fuzz]\nkey = "{KEY}"\nscopes = ["read", "submit", "admin"]\n'
)
"""With an API key, so that the gateway must refuse calls without a key or with another one; callers state addresses."""
MIN_LINKS: Final = 5
"""Links that a run follows to status 200 at the least. A run follows about half at random; test_links.py tests each."""

BUNDLE: Final = json.loads((PROJECT / "generated/batchgate_api/openapi.json").read_text())
OPERATIONS: Final = {
    f"{method.upper()} {path}": operation
    for path, item in BUNDLE["paths"].items()
    for method, operation in item.items()
    if method in METHODS
}


def declared_links() -> Iterator[str]:
    """Yield the links of the document with the ids that schemathesis gives them."""
    names = {operation["operationId"]: name for name, operation in OPERATIONS.items()}
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            for link, reference in response.get("links", {}).items():
                target = BUNDLE["components"]["links"][reference["$ref"].rpartition("/")[2]]["operationId"]
                yield f"{name} -> [{status}] {link} -> {names[target]}"


LINKS: Final = set(declared_links())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("schemathesis")
    master_key = {"BATCHGATE_MASTER_KEY": urlsafe_b64encode(os.urandom(32)).decode()}
    with GatewayProcess(data_dir=folder / "data", settings=SETTINGS, environment=master_key) as gateway:
        yield Runs(gateway, folder)


@pytest.mark.timeout(300)
def test_every_response_of_a_live_gateway_conforms_to_its_document(runs: Runs) -> None:
    finished = runs.run()
    print(finished.stdout)
    assert finished.returncode == 0, finished.stderr


def test_schemathesis_called_every_operation(runs: Runs) -> None:
    # The report omits the operation that returns the document; every run calls it first.
    assert OPERATIONS.keys() - {operation for operation, _ in runs.counts.calls} <= {"GET /openapi.json"}


def test_chains_of_calls_follow_links_to_successful_responses(runs: Runs) -> None:
    print(runs.counts.table(OPERATIONS))
    assert len(LINKS & runs.counts.links.keys()) >= MIN_LINKS
