"""A gateway that is killed while an action of a caller moves requests into or out of jobs finishes the batch later.

Each request has one result, in order. The provider is asked for none twice, but for calls that were in flight when the
process was killed, or whose answers it had not stored.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.native_crashes import IDS, REQUESTS, TOKENS, NativeCrashes, native_crashes
from tests.support.simulated_upstream import SimulatedUpstream, simulated_upstream

SPEED: Final = 60
"""How many times as fast as real time the provider is."""
RUNNING: Final = 100_000
"""Simulated seconds that a job takes."""
CAP: Final = 16
"""How many calls are in flight of a batch that runs directly at first."""


@dataclass(frozen=True)
class Change:
    """An action on a batch, and where the gateways are killed that do it."""

    name: str
    lane: str
    """The lane of the batch before it."""
    method: str
    path: str
    body: dict[str, str] | None
    steps: tuple[str, ...]
    """The failpoints, one after the other; the test itself kills a gateway without one, right after the action."""
    lost: int = 0
    """How many calls may be lost with a process, so that their requests are asked for once more."""


CHANGES: Final = [
    Change("pause", "native", "POST", "pause?native_jobs=cancel", None, ("native_canceling", "native_ended")),
    Change("to-direct", "native", "PUT", "lane", {"lane": "direct"}, ("native_canceling", "native_ended")),
    Change("to-jobs", "direct", "PUT", "lane", {"lane": "native"}, ("", "native_planned"), 2 * CAP),
]


@pytest.fixture(scope="module")
def upstream() -> Iterator[SimulatedUpstream]:
    with simulated_upstream(
        "--latency", "0.2", "--output-tokens", str(TOKENS), "--batches", "--speed", str(SPEED)
    ) as simulated:
        yield simulated


async def call(suite: NativeCrashes, url: str, method: str, path: str, body: Any = None) -> Any:
    async with suite.providers.http.request(method, f"{url}/api/batches/{path}", json=body) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def progress_of(suite: NativeCrashes, gateway: GatewayProcess, batch_id: str) -> Any:
    return await call(suite, gateway.url, "GET", f"{batch_id}/progress")


async def submit_half(suite: NativeCrashes, gateway: GatewayProcess, change: Change) -> str:
    """Submit the batch, and wait until the provider has answered some of its requests."""
    cap = CAP if change.lane == "direct" else REQUESTS
    batch_id = await suite.submit(gateway.url, lane=change.lane, concurrency=str(cap))
    assert batch_id is not None
    if change.lane == "direct":
        while not (await progress_of(suite, gateway, batch_id))["succeeded"]:
            pass
        return batch_id
    while [job["state"] for job in (await progress_of(suite, gateway, batch_id))["jobs"]] != ["running"] * 2:
        pass
    await suite.providers.advance(RUNNING / 2)
    return batch_id


@pytest.mark.parametrize("change", CHANGES, ids=[change.name for change in CHANGES])
async def test_a_gateway_killed_while_requests_change_their_lane_asks_for_each_of_them_once(
    upstream: SimulatedUpstream, tmp_path: Path, change: Change
) -> None:
    async with native_crashes(upstream, "openai", tmp_path) as suite:
        suite.lane = "native"
        await suite.providers.configure(file_pending=0, running=RUNNING)
        batch_id = ""
        for step in change.steps:
            with suite.gateway(step) as gateway:
                if not batch_id:
                    batch_id = await submit_half(suite, gateway, change)
                    await call(suite, gateway.url, change.method, f"{batch_id}/{change.path}", change.body)
                if not step:
                    gateway.kill()
                assert gateway.wait() == -signal.SIGKILL
            await suite.providers.advance(60)
            await suite.read_journal()
        await suite.providers.configure(file_pending=0)
        async with suite.last_gateway() as gateway:
            if change.name == "pause":
                await call(suite, gateway.app.url, "POST", f"{batch_id}/resume")
            batch = await suite.finish(gateway, batch_id)
            assert batch["request_counts"]["succeeded"] == REQUESTS
            assert [result["custom_id"] for result in await gateway.app.results(batch_id)] == IDS
            answered = sum(job["answered"] for job in (await gateway.progress(batch_id))["jobs"])
            await suite.check_jobs(gateway, batch_id, paid=answered)
            assert 0 < answered <= REQUESTS
            assert answered == REQUESTS or change.name != "pause"
            called = upstream.stats().calls
            assert 0 <= called + answered - REQUESTS <= change.lost
