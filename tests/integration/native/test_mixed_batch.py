"""A batch for five providers in two lanes, with faults in both, has one result file, and a bill that adds up.

All rows of a batch have one dialect. The providers speak four: Messages, Chat Completions, generateContent and
Converse. The batch is written in each of them in turn, so most rows are translated.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import pytest
from msgspec import Struct

from batchgate.account_settings import AccountSettings, PriceSettings
from batchgate.providers.simulator.batches.settings import BatchSettings
from batchgate.providers.simulator.simulator import SimulatorSettings
from tests.integration.native.lane_client import AWS_KEY, BASES
from tests.integration.native.native_gateway import KEY, MIN_REQUESTS, STEP, NativeGateway
from tests.support import openai_batches, unified_batches
from tests.support.cutting_proxy import CuttingProxy
from tests.support.running_app import BATCHES, RunningApp, running_app
from tests.support.simulated_batches import SimulatedProviders, simulated_providers

MODELS: Final = {
    "anthropic": "claude-opus",
    "openai": "gpt-5",
    "gemini": "gemini-3-pro",
    "bedrock": "amazon.nova-lite-v1:0",
    "mistral": "mistral-large",
}
"""The providers, in the order in which the rows of the batch go to them, and a model of each."""
NATIVE: Final = ("anthropic", "openai", "gemini")
"""The providers whose rows go into jobs; those of the others are called."""
EACH: Final = 20
"""Rows for each provider."""
IDS: Final = [f"request-{number:03}" for number in range(EACH * len(MODELS))]
NATIVE_PART: Final = Fraction(1, 2)
FAULTY_MODEL: Final = SimulatorSettings(latency=0, error_rate=0.15, rate_limit_rate=0.1, retry_after=0.1, seed=7)
"""A model that answers some calls, and some rows of jobs, with 429, 500 and 529."""
JOB_FAULTS: Final[dict[str, Any]] = {
    "missing_rows": [3, 4],
    "doubled_rows": [0, 7],
    "foreign_rows": 2,
    "reorder_rows": True,
    "refuse_creates": 1,
    "cut_downloads": 1,
}
CUTS: Final = (5, 100, 400)
"""After how many bytes of answers the first connections for calls are cut."""


class TokenPrices(NamedTuple):
    """The normal prices of an account, in nano-dollars for a million tokens."""

    input: int
    output: int


PRICES: Final = {name: TokenPrices(1_000_037 * place, 3_000_017 * place) for place, name in enumerate(MODELS, start=1)}
"""Each provider has others, such that most rows cost a fraction of a nano-dollar, which is rounded up."""


class Row(Struct, frozen=True):
    """A request of the batch."""

    custom_id: str
    provider: str
    text: str

    @property
    def model(self) -> str:
        """The model with its account."""
        return f"{self.provider}/{MODELS[self.provider]}"


ROWS: Final = [
    Row(name, provider, f"Question {name}" + " please" * (place % 5))
    for place, (name, provider) in enumerate(zip(IDS, [*MODELS] * EACH, strict=True))
]


# The dialects


async def create_messages(app: RunningApp) -> str:
    requests = [
        {"custom_id": row.custom_id, "params": {"model": row.model} | unified_batches.messages(row.text)}
        for row in ROWS
    ]
    status, batch = await app.call("POST", BATCHES, json={"requests": requests})
    assert status == 200, batch
    return str(batch["id"])


async def create_chat(app: RunningApp) -> str:
    requests = [
        {"custom_id": row.custom_id, "body": {"model": row.model} | unified_batches.messages(row.text)} for row in ROWS
    ]
    return str((await unified_batches.create(app, requests=requests))["id"])


async def create_gemini(app: RunningApp) -> str:
    return await create_from_file(
        app,
        "/v1beta/models/{model}:generateContent",
        lambda text: {"contents": [{"role": "user", "parts": [{"text": text}]}]},
    )


async def create_converse(app: RunningApp) -> str:
    return await create_from_file(
        app,
        "/model/{model}/converse",
        lambda text: {
            "messages": [{"role": "user", "content": [{"text": text}]}],
            "inferenceConfig": {"maxTokens": 64},
        },
    )


async def create_from_file(app: RunningApp, endpoint: str, body: Callable[[str], dict[str, Any]]) -> str:
    lines = [
        {"custom_id": row.custom_id, "method": "POST", "url": endpoint, "body": {"model": row.model} | body(row.text)}
        for row in ROWS
    ]
    return str((await openai_batches.create(app, *lines, endpoint=endpoint))["id"])


class Usage(NamedTuple):
    """The tokens that an answer states."""

    input: int
    output: int


def usage_of(answer: dict[str, Any]) -> Usage:
    """Read the tokens of an answer in any of the dialects."""
    counts: Mapping[str, int] = answer.get("usage") or answer["usageMetadata"]
    inputs = ("input_tokens", "prompt_tokens", "inputTokens", "promptTokenCount")
    outputs = ("output_tokens", "completion_tokens", "outputTokens", "candidatesTokenCount", "thoughtsTokenCount")
    return Usage(*(sum(counts.get(name) or 0 for name in names) for names in (inputs, outputs)))


# The gateway


@asynccontextmanager
async def mixed_gateway(data_dir: Path) -> AsyncIterator[NativeGateway]:
    """Run a gateway with five accounts at faulty providers, and check that the calls met the faults."""
    settings = BatchSettings(validating=1, running=20, finalizing=1, file_pending=0)
    async with simulated_providers(FAULTY_MODEL, settings) as providers:
        await providers.play(**JOB_FAULTS)
        with CuttingProxy(providers.url, CUTS) as proxy:
            accounts = {name: account(name, providers.url if name in NATIVE else proxy.url) for name in MODELS}
            async with running_app(data_dir, accounts=accounts) as app:
                yield NativeGateway(app, providers)
        async with providers.http.get(f"{providers.url}/stats") as response:
            answered = (await response.json())["answered"]
        assert {"429", "500", "503"} <= answered.keys()
        assert len(proxy.requests) > len(CUTS)


def account(provider: str, url: str) -> AccountSettings:
    """Make an account; without a lane, it counts as one without a batch API, as its URL is not the provider's."""
    price = PRICES[provider]
    return AccountSettings(
        provider=provider,
        base_url=url + BASES[provider],
        api_key=AWS_KEY if provider == "bedrock" else KEY,
        region="us-east-1" if provider == "bedrock" else None,
        lane="auto" if provider in NATIVE else None,
        native_min_requests=MIN_REQUESTS,
        prices={"*": PriceSettings(input=price.input / 1e9, output=price.output / 1e9)},
        native_factors={"*": float(NATIVE_PART)},
    )


async def run(gateway: NativeGateway, batch_id: str) -> set[str]:
    """Let a batch end, and return the ids of the rows that jobs have answered and delivered."""
    delivered: set[str] = set()
    while (await gateway.progress(batch_id))["status"] != "ended":
        await gateway.providers.advance(STEP)
        delivered |= await delivered_rows(gateway.providers)  # before the gateway deletes an ended job
        gateway.app.clock.move(STEP)
        for _ in range(5):
            await gateway.app.call("GET", "/health")
    return delivered


async def delivered_rows(providers: SimulatedProviders) -> set[str]:
    """Return the rows that the results of jobs contain with an answer."""
    rows = [
        row
        for job in await providers.jobs()
        for place, row in enumerate(job.rows)
        if place not in JOB_FAULTS["missing_rows"] and row.state == "succeeded"
    ]
    return {IDS[int(row.custom_id.removeprefix("r").partition("-")[0])] for row in rows if row.custom_id is not None}


async def results_of(app: RunningApp, batch_id: str) -> list[dict[str, Any]]:
    """Return the lines of the result file."""
    async with app.client.get(f"{app.url}/api/batches/{batch_id}/results") as response:
        return [msgspec.json.decode(line) for line in (await response.read()).splitlines()]


# The bill


def cost(row: Row, usage: Usage, part: Fraction) -> int:
    """Return the nano-dollars of a row at a part of the normal price."""
    price = PRICES[row.provider]
    return ceil(Fraction(usage.input * round(price.input * part) + usage.output * round(price.output * part), 10**6))


def bill(usages: Mapping[str, Usage], delivered: Iterable[str]) -> dict[str, int]:
    """Return what the batch must have cost, in nano-dollars: the sums over its rows."""
    normal = {row.custom_id: cost(row, usages[row.custom_id], Fraction(1)) for row in ROWS}
    halved = {row.custom_id: cost(row, usages[row.custom_id], NATIVE_PART) for row in ROWS}
    native = set(delivered)
    return {
        "direct_usd": sum(normal[name] for name in IDS if name not in native),
        "native_usd": sum(halved[name] for name in native),
        "saved_usd": sum(normal[name] - halved[name] for name in native),
        "unpriced": 0,
    }


def nanodollars(spent: Mapping[str, float]) -> dict[str, int]:
    """Return the amounts of a batch in nano-dollars."""
    return {name: round(amount * 10**9) if name.endswith("_usd") else round(amount) for name, amount in spent.items()}


CREATORS: Final = {
    "messages": create_messages,
    "chat": create_chat,
    "generateContent": create_gemini,
    "converse": create_converse,
}


@pytest.mark.parametrize("dialect", CREATORS)
async def test_a_batch_for_five_providers_has_every_id_once_and_a_bill_that_adds_up(
    tmp_path: Path, dialect: str
) -> None:
    async with mixed_gateway(tmp_path) as gateway:
        batch_id = await CREATORS[dialect](gateway.app)
        delivered = await run(gateway, batch_id)
        lines = await results_of(gateway.app, batch_id)
        assert [line["custom_id"] for line in lines] == IDS

        progress = await gateway.progress(batch_id)
        planned = {part["account"]: (part["lane"], part["requests"]) for part in progress["lanes"]}
        assert planned == {name: ("native" if name in NATIVE else "direct", EACH) for name in MODELS}
        assert 0 < len(delivered) < EACH * len(NATIVE)
        assert sum(job["answered"] for job in progress["jobs"]) == len(delivered)

        answers = [line["result"]["message"] if "result" in line else line["response"]["body"] for line in lines]
        expected = bill({name: usage_of(answer) for name, answer in zip(IDS, answers, strict=True)}, delivered)
        assert nanodollars(progress["spent"]) == expected
        _, report = await gateway.app.call("GET", "/api/usage?by=lane,account")
        spent = expected["direct_usd"] + expected["native_usd"]
        assert nanodollars(report["workspace"]["use"])["monthly_spend_usd"] == spent
        groups = [(group["lane"], group["account"], round(group["cost_usd"] * 1e9)) for group in report["data"]]
        assert {account for lane, account, _ in groups if lane == "native"} == set(NATIVE)
        for lane in ("direct", "native"):
            assert sum(nano for taken, _, nano in groups if taken == lane) == expected[f"{lane}_usd"]
        assert round(report["total"]["saved_usd"] * 1e9) == expected["saved_usd"]
