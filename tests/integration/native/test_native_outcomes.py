"""Every request of a batch gets one result, however its jobs end."""

from pathlib import Path
from typing import Any

import pytest

from tests.integration.native.native_gateway import native_gateway

IDS = [f"request-{number}" for number in range(30)]
EACH_PROVIDER = pytest.mark.parametrize("provider", ["openai", "anthropic", "groq"])


def outcomes(results: list[dict[str, Any]]) -> dict[str, str]:
    """Return the types of results by custom_id, and check that no id comes twice."""
    found = {result["custom_id"]: result["result"]["type"] for result in results}
    assert len(found) == len(results)
    return found


@EACH_PROVIDER
async def test_a_batch_travels_in_one_job_and_ends_with_its_results_in_order(tmp_path: Path, provider: Any) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        batch = await gateway.app.create(*IDS)
        ended = await gateway.until_ended(batch["id"])
        assert ended["request_counts"]["succeeded"] == len(IDS)
        assert [line["custom_id"] for line in await gateway.app.results(batch["id"])] == IDS
        (job,) = await gateway.providers.jobs()
        assert job.paid == len(IDS)
        (shown,) = (await gateway.progress(batch["id"]))["jobs"]
        assert (shown["account"], shown["state"], shown["answered"]) == (provider, "done", len(IDS))
        assert shown["upstream_id"] == job.id
        assert not any(custom_id in str(job) for custom_id in IDS), "a caller's id left the gateway"
