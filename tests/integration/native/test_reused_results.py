"""Requests that take over results are in no job, and the others travel as usual."""

from __future__ import annotations

from pathlib import Path

from tests.integration.native.native_gateway import MIN_REQUESTS, NativeGateway, native_gateway
from tests.support.running_app import BATCHES, params

OLD = range(30)
NEW = range(30, 30 + MIN_REQUESTS)


async def create(gateway: NativeGateway, *numbers: int, **headers: str) -> str:
    """Create a batch of requests that differ in their numbers."""
    requests = [{"custom_id": f"r{number}", "params": params() | {"max_tokens": 10 + number}} for number in numbers]
    status, batch = await gateway.app.call("POST", BATCHES, json={"requests": requests}, headers=headers)
    assert status == 200, batch
    return str(batch["id"])


async def test_a_job_has_only_the_requests_without_a_result(tmp_path: Path) -> None:
    async with native_gateway(tmp_path) as gateway:
        parent = await create(gateway, *OLD)
        await gateway.until_ended(parent)
        child = await create(gateway, *NEW, *OLD, **{"batchgate-reuse": parent, "batchgate-lane": "native"})
        await gateway.until_ended(child)
        shown = await gateway.progress(child)
        assert (shown["succeeded"], shown["reused"]) == (len(NEW) + len(OLD), len(OLD))
        assert [(job["requests"], job["answered"]) for job in shown["jobs"]] == [(len(NEW), len(NEW))]
        assert [part["requests"] for part in shown["lanes"]] == [len(NEW)]
        ids = [line["custom_id"] for line in await gateway.app.results(child)]
        assert ids == [f"r{number}" for number in (*NEW, *OLD)]
        job = (await gateway.providers.jobs())[-1]
        assert len(job.rows) == len(NEW)
