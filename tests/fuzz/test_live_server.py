"""A live gateway answers within the document that it serves, whatever it is sent, and the document's links lead on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import pytest

from tests.fuzz.runs import PROJECT, Runs
from tests.fuzz.unsaid import ACCOUNTS, KEY
from tests.support.gateway_process import GatewayProcess

METHODS: Final = {"get", "post", "delete"}
SETTINGS: Final = (
    "".join(f'[accounts.{name}]\nprovider = "simulator"\nsimulator.latency = 0.0\n' for name in ACCOUNTS)
    + f'[api_keys.fuzz]\nkey = "{KEY}"\n'
)
"""With an API key, so that calls without one, or with another, are to be refused."""
MORE_WALKS: Final = 6
"""Walks along links go where chance leads them: so often may another one look for the links that no walk has taken."""

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


UNREACHED: Final = {
    "GET /openai/v1/batches/{batch_id} -> [200] output_file -> GET /openai/v1/files/{file_id}/content": (
        "files are made of any bytes, and none of them is a line of a batch; test_openai_sdk.py walks it"
    ),
    "GET /v1/files -> [200] next_page -> GET /v1/files": (
        "it needs more files of one provider than the limit, of any size, that was drawn; test_files.py walks it"
    ),
}
"""Links that chance hardly ever takes, each with its reason."""
LINKS: Final = set(declared_links()) - UNREACHED.keys()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    folder = tmp_path_factory.mktemp("schemathesis")
    with GatewayProcess(data_dir=folder / "data", settings=SETTINGS) as gateway:
        yield Runs(gateway, folder)


@pytest.mark.timeout(300)
def test_every_answer_of_a_live_gateway_is_within_its_document(runs: Runs) -> None:
    done = runs.run()
    print(done.stdout)
    assert done.returncode == 0, done.stderr


def test_every_operation_was_called_well(runs: Runs) -> None:
    # The report leaves out the calls of the operation that the document itself is read by, which every run begins with.
    assert OPERATIONS.keys() - runs.counts.good.keys() <= {"GET /openapi.json"}


@pytest.mark.timeout(300)
def test_every_link_leads_to_a_good_answer(runs: Runs) -> None:
    for walk in range(MORE_WALKS):
        if not LINKS - runs.counts.links.keys():
            break
        done = runs.run("--phases", "stateful", "--seed", str(walk))
        assert done.returncode == 0, done.stdout + done.stderr
    print(runs.counts.table(OPERATIONS))
    missed = LINKS - runs.counts.links.keys()
    assert not missed, f"no walk could follow these to a good answer: {sorted(missed)}"
