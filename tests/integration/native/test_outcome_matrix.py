"""Every request of a batch gets one result, whatever becomes of its job, in both lanes and for every kind of caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import msgspec
import pytest

from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, NativeGateway, native_gateway
from tests.support import openai_batches, unified_batches
from tests.support.running_app import BATCHES

Caller: TypeAlias = Literal["anthropic", "chat", "responses", "embeddings", "unified"]
Outcomes: TypeAlias = dict[Caller, Counter[str]]

COUNT: Final = 20
HALF: Final = COUNT // 2
IDS: Final = [f"request-{number:02}" for number in range(COUNT)]
RUNNING: Final = 4000.0
"""Simulated seconds in which a job answers its requests that is canceled meanwhile."""
QUICK: Final = {"validating": 1, "running": 4, "finalizing": 1, "file_pending": 0}
"""Simulated seconds of the phases of a job that nothing is done to."""
CALLERS: Final[Mapping[str, tuple[Caller, ...]]] = {
    "openai": ("anthropic", "chat", "responses", "embeddings", "unified"),
    "anthropic": ("anthropic", "chat", "responses", "unified"),
    "cohere": ("anthropic", "chat", "embeddings", "unified"),
}
"""The callers whose requests each provider takes; half of them are translated."""
NOT_NATIVE: Final = frozenset({("anthropic", "responses")})
"""Pairs of a provider and a caller whose requests travel in no job."""
FAULTS: Final[Mapping[str, dict[str, Any]]] = {
    "completed": {},
    "with missing rows": {"missing_rows": [3, 4]},
    "with doubled rows": {"doubled_rows": [0, 7]},
    "with foreign rows": {"foreign_rows": 3},
    "in another order": {"reorder_rows": True},
    "failed at validation": {"fail_with": "model_not_found"},
    "failed later": {"fail_at": 0.5},
    "expired": {"expire_at": 0.5},
}
NATIVE: Final[Mapping[str, Counter[str]]] = {
    "with missing rows": Counter(succeeded=COUNT - 2, errored=2),
    "failed at validation": Counter(errored=COUNT),
    "failed later": Counter(errored=COUNT),
    "expired": Counter(succeeded=HALF, expired=HALF),
}
"""The results in the lane ``native``; in all other cases each request is answered."""
NEVER_EXPIRES: Final = "cohere"
"""A provider whose jobs fail instead."""
NEVER_ON_ANTHROPIC: Final = frozenset({"failed at validation", "failed later"})
"""A Message Batch does not fail as a whole (native-lanes 10.1)."""

ENDS: Final = [
    (provider, end)
    for provider in CALLERS
    for end in FAULTS
    if not (provider == "anthropic" and end in NEVER_ON_ANTHROPIC)
]
EACH_LANE = pytest.mark.parametrize("lane", ["auto", "native"])
EACH_PROVIDER = pytest.mark.parametrize("provider", list(CALLERS))


async def create(gateway: NativeGateway, provider: str, caller: Caller) -> str:
    """Create a batch as a caller of this kind does, and return its id."""
    app = gateway.app
    match caller:
        case "anthropic":
            batch = await app.create(*IDS)
        case "unified":
            rows = unified_batches.chat_rows(*IDS)
            batch = await unified_batches.create(app, requests=rows, model=f"{provider}/simulated")
        case _:
            requests: dict[str, tuple[str, dict[str, Any]]] = {
                "chat": ("/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}]}),
                "responses": ("/v1/responses", {"input": "Hello"}),
                "embeddings": ("/v1/embeddings", {"input": "Hello"}),
            }
            endpoint, body = requests[caller]
            lines = [
                {"custom_id": name, "method": "POST", "url": endpoint, "body": {"model": "simulated"} | body}
                for name in IDS
            ]
            batch = await openai_batches.create(app, *lines, endpoint=endpoint)
    return str(batch["id"])


async def batches_of_all(gateway: NativeGateway, provider: str) -> dict[Caller, str]:
    """Create a batch for each caller, and wait until the provider has the jobs of all."""
    created: dict[Caller, str] = {caller: await create(gateway, provider, caller) for caller in CALLERS[provider]}
    for caller, batch_id in created.items():
        while (provider, caller) not in NOT_NATIVE and not await is_upstream(gateway, batch_id):
            await gateway.pass_time(1.0)
    return created


async def is_upstream(gateway: NativeGateway, batch_id: str) -> bool:
    """Check if the job of a batch was accepted by the provider; it may be gone there by now."""
    return any(job["upstream_id"] for job in (await gateway.progress(batch_id))["jobs"])


async def outcomes(gateway: NativeGateway, created: Mapping[Caller, str]) -> Outcomes:
    """Let time pass until all batches have ended, and return how many results of each type they have."""
    found: Outcomes = {}
    for caller, batch_id in created.items():
        while (progress := await gateway.progress(batch_id))["status"] != "ended":
            await gateway.pass_time()
        counts = {word: progress[word] for word in ("succeeded", "errored", "canceled", "expired")}
        found[caller] = +Counter(counts)
        check_failures(progress)
        async with gateway.app.client.get(f"{gateway.app.url}/api/batches/{batch_id}/results") as response:
            lines = (await response.read()).splitlines()
        assert [msgspec.json.decode(line)["custom_id"] for line in lines] == IDS, caller
    return found


def check_failures(progress: Mapping[str, Any]) -> None:
    """Check that each request without success is in one group of failures, under the kind of its result."""
    kinds: Counter[str] = Counter()
    for group in progress["failures"]:
        kind = group["kind"] if group["kind"] in {"expired", "canceled"} else "errored"
        kinds[kind] += group["count"]
        assert set(group["custom_ids"]) <= set(IDS)
        assert group["custom_ids"] == sorted(group["custom_ids"])[: group["count"]]
    assert kinds == +Counter({word: progress[word] for word in ("errored", "canceled", "expired")})


async def answered(gateway: NativeGateway, created: Mapping[Caller, str]) -> dict[Caller, int]:
    """Return how many requests the jobs of each batch answered."""
    jobs = {caller: (await gateway.progress(batch_id))["jobs"] for caller, batch_id in created.items()}
    return {caller: sum(job["answered"] for job in found) for caller, found in jobs.items()}


def expected(provider: str, lane: str, counts: Counter[str]) -> Outcomes:
    """Return the outcomes of all callers; requests that no job takes are called in the lane ``auto`` alone."""
    direct = Counter(succeeded=COUNT) if lane == "auto" else Counter(errored=COUNT)
    return {caller: direct if (provider, caller) in NOT_NATIVE else counts for caller in CALLERS[provider]}


@pytest.mark.parametrize(("provider", "end"), ENDS)
@EACH_LANE
async def test_each_request_has_the_result_that_the_end_of_its_job_leaves(
    tmp_path: Path, provider: Any, lane: str, end: str
) -> None:
    async with native_gateway(tmp_path, provider, lane=lane) as gateway:
        await gateway.providers.configure(**QUICK)
        await gateway.providers.play(**FAULTS[end])
        created = await batches_of_all(gateway, provider)
        counts = NATIVE.get(end, Counter(succeeded=COUNT)) if lane == "native" else Counter(succeeded=COUNT)
        if provider == NEVER_EXPIRES and counts["expired"]:
            counts = Counter(succeeded=HALF, errored=HALF)
        assert await outcomes(gateway, created) == expected(provider, lane, counts)


@EACH_LANE
@EACH_PROVIDER
async def test_a_canceled_batch_has_the_results_of_its_job_and_canceled_ones(
    tmp_path: Path, provider: Any, lane: str
) -> None:
    async with native_gateway(tmp_path, provider, lane=lane) as gateway:
        await gateway.providers.configure(running=RUNNING, file_pending=0)
        created = await batches_of_all(gateway, provider)
        native = {caller: batch_id for caller, batch_id in created.items() if (provider, caller) not in NOT_NATIVE}
        await gateway.pass_time(RUNNING / 2 + 5)
        for batch_id in native.values():
            assert (await gateway.app.call("POST", f"{BATCHES}/{batch_id}/cancel"))[0] == 200
            while (await gateway.progress(batch_id))["jobs"][0]["reason"] is None:
                pass  # no time passes for the provider until it is asked to cancel the job
        found, delivered = await outcomes(gateway, native), await answered(gateway, native)
        assert all(0 < count < COUNT for count in delivered.values()), delivered
        assert found == {
            caller: Counter(succeeded=count, canceled=COUNT - count) for caller, count in delivered.items()
        }


@EACH_LANE
@EACH_PROVIDER
async def test_a_job_that_somebody_else_canceled_leaves_requests_to_the_direct_lane_or_without_an_answer(
    tmp_path: Path, provider: Any, lane: str
) -> None:
    async with native_gateway(tmp_path, provider, lane=lane) as gateway:
        await gateway.providers.configure(running=RUNNING, file_pending=0)
        created = await batches_of_all(gateway, provider)
        await gateway.pass_time(RUNNING / 2 + 5)
        await cancel_as_somebody_else(gateway, provider)
        found, delivered = await outcomes(gateway, created), await answered(gateway, created)
        for caller, counts in found.items():
            if (provider, caller) in NOT_NATIVE:
                continue
            assert 0 < delivered[caller] < COUNT
            rest = "succeeded" if lane == "auto" else "errored"
            assert counts == Counter({"succeeded": delivered[caller]}) + Counter({rest: COUNT - delivered[caller]})


async def cancel_as_somebody_else(gateway: NativeGateway, provider: str) -> None:
    """Cancel all jobs with the account's key, as a person does in the provider's console."""
    paths = {"anthropic": "/v1/messages/batches/{}/cancel", "cohere": "/v2/batches/{}:cancel"}
    headers = {"x-api-key": KEY, "anthropic-version": "2023-06-01", "authorization": f"Bearer {KEY}"}
    for job in await gateway.providers.jobs():
        path = paths.get(provider, "/batches/{}/cancel").format(job.id)
        url = f"{gateway.providers.url}{BASES[provider]}{path}"
        async with gateway.providers.http.post(url, headers=headers) as response:
            assert response.status == 200, await response.text()
