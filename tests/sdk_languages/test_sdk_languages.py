"""The official SDKs for Java, Go and TypeScript against a live gateway.

For each SDK there is a small program, with the newest release of the SDK as it was pinned. All programs take the same
steps and print the same lines. A language whose toolchain the machine lacks is skipped, and pytest says what is not
found. Run it with ``nox -s sdk-languages``.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple
from urllib.request import Request, urlopen

import pytest

from tests.acceptance.conftest import ADMIN_KEY, API_KEY, SETTINGS
from tests.sdk_languages.toolchains import TOOLCHAINS, Toolchain
from tests.support.gateway_process import GatewayProcess, clean_environment

pytestmark = pytest.mark.timeout(1500)  # a build with cold caches downloads and compiles the SDKs

ANTHROPIC_LINES = """\
created: in_progress, 3 processing
ended: 2 succeeded, 1 errored
a: You said: I am a
b: You said: I am b
c: invalid_request_error
listed: 4 3 2 1 0
older than 3: 2 1 0
newer than 0: 2 1 4 3
file: 0.txt text/plain 4
content: text
files: 2 1 0
delete file: file_deleted
cancel: canceling
canceled: the counts agree
cancel after the end: ended
delete: message_batch_deleted
not found: 404 not_found_error, req_
wrong key: 401 authentication_error
auth token: accepted
""".splitlines()
OPENAI_LINES = """\
created: validating, job nightly
completed: 2 completed, 1 failed
a: You said: I am a
b: You said: I am b
c: 400 invalid_request_error
listed: 4 3 2 1 0
input files: requests.jsonl requests.jsonl requests.jsonl requests.jsonl requests.jsonl
cancel: cancelling
cancelled: output and error file have all requests
delete: true
cancel after the end: 409 invalid_request_error
not found: 404 invalid_request_error, param id
wrong key: 401 invalid_api_key
""".splitlines()


class Built(NamedTuple):
    """A toolchain and the folder in which it built the programs."""

    toolchain: Toolchain
    folder: Path


@pytest.fixture(scope="module")
def builds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, Future[Path]]]:
    """Build the programs of all languages at the same time, since much of it is waiting for downloads."""
    with ThreadPoolExecutor() as threads:
        yield {
            toolchain.language: threads.submit(toolchain.build, tmp_path_factory.mktemp("sdk") / toolchain.language)
            for toolchain in TOOLCHAINS
            if not toolchain.problems()
        }


@pytest.fixture(scope="module", params=TOOLCHAINS, ids=lambda toolchain: toolchain.language)
def built(request: pytest.FixtureRequest, builds: Mapping[str, Future[Path]]) -> Built:
    toolchain: Toolchain = request.param
    if problems := toolchain.problems():
        pytest.skip(f"the SDKs for {toolchain.language} are NOT TESTED: {'; '.join(problems)}")
    return Built(toolchain, builds[toolchain.language].result())


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path / "data", settings=SETTINGS) as gateway:
        yield gateway


def run(sdk: str, built: Built, gateway: GatewayProcess) -> list[str]:
    environment = clean_environment({"BATCHGATE_URL": gateway.url, "BATCHGATE_API_KEY": API_KEY})
    return built.toolchain.run(sdk, built.folder, environment)


def test_a_program_with_the_anthropic_sdk_succeeds_in_each_step(built: Built, gateway: GatewayProcess) -> None:
    assert run("anthropic", built, gateway) == ANTHROPIC_LINES


def test_a_program_with_the_openai_sdk_succeeds_in_each_step(built: Built, gateway: GatewayProcess) -> None:
    assert run("openai", built, gateway) == OPENAI_LINES
    with urlopen(Request(f"{gateway.url}/metrics", headers={"x-api-key": ADMIN_KEY})) as answer:
        metrics: str = answer.read().decode()
    refused_cancels = 'batchgate_http_requests_total{operation="cancelBatch",status="409"} 1.0'
    assert refused_cancels in metrics, "the SDK repeated a cancel that was refused for good"
