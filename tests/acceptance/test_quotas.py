"""The official SDKs at a quota: one call, one error that names the quota, and no useless retries."""

from collections.abc import Iterator
from io import BytesIO
from urllib.request import Request, urlopen

import anthropic
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.gateway_process import GatewayProcess

KEY = "sk-bf-root-of-this-test"
SETTINGS = f"""
[accounts.anthropic]
provider = "simulator"

[api_keys.root]
key = "{KEY}"
scopes = ["read", "submit", "admin"]
"""
REQUEST = {
    "custom_id": "a",
    "params": {"model": "simulated", "max_tokens": 8, "messages": [{"role": "user", "content": "Hello"}]},
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with GatewayProcess(data_dir=tmp_path_factory.mktemp("gateway"), settings=SETTINGS) as process:
        change = Request(
            f"{process.url}/api/workspaces/default",
            data=b'{"quotas": {"concurrent_batches": 0, "stored_bytes": 0}}',
            headers={"x-api-key": KEY, "Content-Type": "application/json"},
            method="PATCH",
        )
        with urlopen(change) as answer:
            assert answer.status == 200
        yield process


def refusals(gateway: GatewayProcess, operation: str) -> float:
    """Return how many calls of an operation the gateway answered with 429."""
    with urlopen(Request(f"{gateway.url}/metrics", headers={"x-api-key": KEY})) as answer:
        families = text_string_to_metric_families(answer.read().decode())
    wanted = {"operation": operation, "status": "429"}
    return sum(
        sample.value
        for family in families
        for sample in family.samples
        if sample.name == "batchgate_http_requests_total" and sample.labels == wanted
    )


def test_the_anthropic_sdk_raises_without_retries(gateway: GatewayProcess) -> None:
    client = anthropic.Anthropic(base_url=f"{gateway.url}/anthropic", api_key=KEY, max_retries=5)
    with pytest.raises(anthropic.RateLimitError, match="is at its quota of concurrent batches: the limit is 0"):
        client.messages.batches.create(requests=[REQUEST])  # type: ignore[list-item]
    assert refusals(gateway, "createMessageBatch") == 1


def test_the_openai_sdk_raises_without_retries(gateway: GatewayProcess) -> None:
    client = openai.OpenAI(base_url=f"{gateway.url}/openai/v1", api_key=KEY, max_retries=5)
    with pytest.raises(openai.RateLimitError, match="is at its quota of stored bytes: the limit is 0") as caught:
        client.files.create(file=BytesIO(b"{}\n"), purpose="batch")
    assert caught.value.code == "quota_exceeded"
    assert refusals(gateway, "createFile") == 1
