"""A large batch whose job stalls has all of its results before it expires, and nothing is asked for twice."""

from io import BytesIO
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import pytest

from batchgate.account_settings import AccountSettings
from batchgate.engine.dispatch.direct_rate import FIRST_GUESS
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.providers.simulator.server import SimulatorStats
from tests.integration.native.native_gateway import NativeGateway, native_gateway
from tests.support.running_app import BATCHES, params

REQUESTS: Final = 10_000
ANSWERED: Final = 4_000
"""Requests that the job answers before it stalls."""
LATE: Final = 22 * 3600.0
"""Seconds after which time passes more slowly: the batch expires after a day."""
BRIEF: Final = 0.1
"""Seconds that pass between two looks at what takes real time: a call that failed is tried again by the clock."""
BRIEFEST: Final = 0.01
"""Seconds between two looks at direct calls: a slow machine looks so often that more would add up to minutes."""
CALL: Final = 2 * FIRST_GUESS
"""Seconds that a call takes by the clock of the test: twice what the gateway guesses."""


async def create(gateway: NativeGateway, count: int = REQUESTS) -> str:
    """Create a batch of requests that all differ."""
    prompts = [[{"role": "user", "content": f"Prompt {number}"}] for number in range(count)]
    requests = [{"custom_id": f"r{seq}", "params": params() | {"messages": prompts[seq]}} for seq in range(count)]
    body = BytesIO(msgspec.json.encode({"requests": requests}))
    status, batch = await gateway.app.call("POST", BATCHES, data=body, headers={"content-type": "application/json"})
    assert status == 200, batch
    return str(batch["id"])


async def until_collected(gateway: NativeGateway, batch_id: str) -> dict[str, Any]:
    """Let time pass until the job has ended and its results are stored, and return it."""
    created = gateway.app.clock.time
    while True:
        (job,) = (await gateway.progress(batch_id))["jobs"]
        if job["state"] == "failed":
            assert isinstance(job, dict)
            return job
        if job["state"] == "collecting":
            await gateway.pass_time(BRIEF)
        elif job["reason"] is not None:  # it is being canceled
            await gateway.pass_time(1.0)
        else:
            is_late = gateway.app.clock.time - created > LATE * MICROSECONDS
            await gateway.pass_time(30.0 if is_late else 600.0)


async def let_calls_take_time(gateway: NativeGateway, batch_id: str) -> None:
    """Move the clock as the direct lane answers, until it has answered all requests."""
    answered = ANSWERED
    while answered < REQUESTS:
        progress = await gateway.progress(batch_id)
        assert progress["expired"] == 0, progress
        succeeded = progress["succeeded"]
        await gateway.pass_time(
            BRIEFEST + max(0, succeeded - answered) * CALL / AccountSettings(provider="openai").concurrency
        )
        answered = succeeded


async def live_calls(gateway: NativeGateway) -> SimulatorStats:
    """Return the calls to the provider's live API."""
    async with gateway.providers.http.get(f"{gateway.providers.url}/stats") as response:
        return msgspec.json.decode(await response.read(), type=SimulatorStats)


@pytest.mark.parametrize("provider", ["openai", "anthropic"])
async def test_a_large_job_that_stalls_is_rescued_in_time_and_its_answers_are_kept(
    tmp_path: Path, provider: Literal["openai", "anthropic"]
) -> None:
    async with native_gateway(tmp_path, provider) as gateway:
        await gateway.providers.play(stall_at=ANSWERED / REQUESTS)
        batch_id = await create(gateway)
        await gateway.jobs_upstream()
        job = await until_collected(gateway, batch_id)
        await let_calls_take_time(gateway, batch_id)
        ended = await gateway.app.ended(batch_id)
        assert ended["request_counts"]["succeeded"] == REQUESTS
        assert ended["ended_at"] < ended["expires_at"]
        assert (job["answered"], job["reason"]) == (ANSWERED, "the time left is what the direct lane needs")
        assert len({result["custom_id"] for result in await gateway.app.results(batch_id)}) == REQUESTS
        stats = await live_calls(gateway)
        assert (stats.calls, stats.distinct_bodies) == (REQUESTS - ANSWERED, REQUESTS - ANSWERED)


async def test_a_job_that_direct_calls_could_not_replace_in_time_goes_on(tmp_path: Path) -> None:
    """Two thousand calls at one a minute need more than a day: that is no reason to withdraw the job at its start."""
    async with native_gateway(tmp_path, "openai", requests_per_minute=1) as gateway:
        batch_id = await create(gateway, 2_000)
        ended = await gateway.until_ended(batch_id)
        assert ended["request_counts"]["succeeded"] == 2_000
        assert (await live_calls(gateway)).calls == 0
