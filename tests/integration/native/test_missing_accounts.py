"""An account that is removed from the settings while a job of it runs at the provider."""

from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from batchgate.account_settings import AccountSettings
from tests.integration.native.lane_client import BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, NativeGateway
from tests.support.health import problem_texts
from tests.support.running_app import BATCHES, MovableClock, running_app, simulator
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

IDS = [f"request-{number}" for number in range(30)]


@asynccontextmanager
async def installation(data_dir: Path) -> AsyncIterator[tuple[Any, SimulatedProviders]]:
    """Provide a function that starts a gateway with or without the account, and the providers."""
    clock = MovableClock()
    async with simulated_providers() as providers:
        url = providers.url + BASES["openai"]
        account = AccountSettings(
            provider="openai", base_url=url, api_key=KEY, lane="auto", native_min_requests=MIN_REQUESTS
        )

        @asynccontextmanager
        async def gateway(**accounts: AccountSettings) -> AsyncIterator[NativeGateway]:
            given = accounts or {"main": account}
            async with running_app(data_dir, clock=clock, accounts=given) as app:
                yield NativeGateway(app, providers)

        yield gateway, providers


async def started(gateway: NativeGateway) -> tuple[str, str]:
    """Create a batch, and return its id and the id of its job."""
    batch = await gateway.app.create(*IDS)
    (job,) = await gateway.jobs_upstream()
    while (await gateway.progress(batch["id"]))["jobs"][0]["upstream_id"] is None:
        await gateway.pass_time(1.0)
    return str(batch["id"]), job.id


async def outcomes(gateway: NativeGateway, batch_id: str) -> Counter[str]:
    return Counter(result["result"]["type"] for result in await gateway.app.results(batch_id))


async def until_problem(gateway: NativeGateway) -> str:
    """Let time pass until the native jobs have a problem, and return it."""
    while True:
        _, health = await gateway.app.call("GET", "/health")
        for text in problem_texts(health):
            if text.startswith("native jobs"):
                return text
        await gateway.pass_time(1.0)


async def test_a_job_goes_on_when_its_account_is_back(tmp_path: Path) -> None:
    async with installation(tmp_path) as (gateway, providers):
        await providers.configure(running=1000)
        async with gateway() as first:
            batch_id, job_id = await started(first)
        async with gateway(other=simulator()) as without:
            problem = await until_problem(without)
            assert all(name in problem for name in ("'main'", batch_id, job_id))
            await without.pass_time(1800)
            assert (await without.progress(batch_id))["jobs"][0]["state"] == "running"
        async with gateway() as last:
            await last.until_ended(batch_id, step=60)
            assert await outcomes(last, batch_id) == {"succeeded": len(IDS)}
            (job,) = (await last.progress(batch_id))["jobs"]
            assert (job["state"], job["answered"]) == ("done", len(IDS))


async def test_the_requests_of_a_job_end_with_an_error_that_names_the_account_when_it_stays_away(
    tmp_path: Path,
) -> None:
    async with installation(tmp_path) as (gateway, providers):
        await providers.configure(running=100_000)
        async with gateway() as first:
            batch_id, job_id = await started(first)
        async with gateway(other=simulator()) as without:
            await without.until_ended(batch_id, step=120)
            results = await without.app.results(batch_id)
            assert all("'main'" in result["result"]["error"]["error"]["message"] for result in results)
            (job,) = (await without.progress(batch_id))["jobs"]
            assert job["state"] == "withdrawn"
            assert job_id in job["reason"]
            assert "'main'" in job["reason"]


async def test_the_hour_that_a_job_waits_for_its_account_goes_on_over_restarts(tmp_path: Path) -> None:
    async with installation(tmp_path) as (gateway, providers):
        await providers.configure(running=100_000)
        async with gateway() as first:
            batch_id, _ = await started(first)
        for _ in range(2):
            async with gateway(other=simulator()) as without:
                await until_problem(without)
                await without.pass_time(1500)
        async with gateway() as back:
            for _ in range(40):  # a loaded machine needs some calls to ask for the job
                await back.pass_time(10, calls=10)
            assert (await back.progress(batch_id))["jobs"][0]["state"] == "running"
        for _ in range(2):
            async with gateway(other=simulator()) as without:
                await until_problem(without)
                await without.pass_time(1500)
        async with gateway(other=simulator()) as without:
            await until_problem(without)
            await without.pass_time(700)
            assert (await without.app.ended(batch_id))["request_counts"]["errored"] == len(IDS)


async def test_the_requests_of_a_job_run_with_another_account_of_the_provider(tmp_path: Path) -> None:
    async with installation(tmp_path) as (gateway, providers):
        await providers.configure(running=100_000)
        params = {"model": "openai/m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
        requests = [{"custom_id": custom_id, "params": params} for custom_id in IDS]
        url = providers.url + BASES["openai"]
        main, spare = (
            AccountSettings(provider="openai", base_url=url, api_key=key, lane="auto", native_min_requests=MIN_REQUESTS)
            for key in (KEY, KEY + "2")
        )
        first_accounts = {"anthropic": simulator(), "main": main}
        async with gateway(**first_accounts) as first:
            headers = {"x-model-provider": "anthropic"}
            status, batch = await first.app.call("POST", BATCHES, json={"requests": requests}, headers=headers)
            assert status == 200, batch
            await first.jobs_upstream()
            while (await first.progress(batch["id"]))["jobs"][0]["upstream_id"] is None:
                await first.pass_time(1.0)
        async with gateway(anthropic=simulator(), spare=spare) as without:
            await without.until_ended(batch["id"], step=120)
            assert await outcomes(without, batch["id"]) == {"succeeded": len(IDS)}


async def test_a_canceled_batch_does_not_wait_for_the_account(tmp_path: Path) -> None:
    async with installation(tmp_path) as (gateway, providers):
        await providers.configure(running=100_000)
        async with gateway() as first:
            batch_id, _ = await started(first)
        async with gateway(other=simulator()) as without:
            await until_problem(without)
            await without.app.call("POST", f"{BATCHES}/{batch_id}/cancel")
            await without.until_ended(batch_id, step=1.0)
            assert await outcomes(without, batch_id) == {"canceled": len(IDS)}
        async with gateway():
            while [job.state for job in await providers.jobs()] != ["cancelled"]:
                await providers.advance(5)
