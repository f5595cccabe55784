"""A job at a simulated provider, driven step by step as the engine does."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Final

import msgspec
from msgspec import structs

from batchgate.engine.model.native_job import NativeJob, PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import NativeResult, UpstreamJob
from batchgate.providers.batches.http_exchange import HttpExchange
from batchgate.providers.registry.native_lanes import provider_batches
from batchgate.providers.registry.providers import PROVIDERS
from tests.support.simulated_batches import SimulatedProviders

BASES: Final = {
    "openai": "/openai/v1",
    "azure": "/azure/openai/v1",
    "groq": "/groq/openai/v1",
    "cerebras": "/cerebras/v1",
    "parasail": "/parasail/v1",
    "nebius": "/nebius/v1",
    "perplexity": "/perplexity",
    "deepinfra": "/deepinfra/v1/openai",
    "anthropic": "/anthropic",
    "bedrock": "/bedrock",
    "mistral": "/mistral/v1",
    "together": "/together/v1",
    "xai": "/xai/v1",
    "openrouter": "/openrouter/api/v1",
    "fireworks": "/fireworks/inference/v1",
    "gemini": "/gemini",
    "cohere": "/cohere",
    "vertex": "/vertex",
}
"""The paths of the simulated providers, as the ``base_url`` of an account would have them."""

AWS_KEY: Final = '{"AccessKeyId":"AKIDEXAMPLE","SecretAccessKey":"a-secret-key"}'

CLOUDS: Final[dict[str, Any]] = {
    "bedrock": {
        "region": "us-east-1",
        "batch_url": "s3://bucket/prefix",
        "batch_role": "arn:aws:iam::123456789012:role/batches",
    },
    "vertex": {"region": "europe-west4", "project": "my-project", "batch_url": "gs://bucket/prefix"},
}
"""The settings of accounts whose jobs need a bucket."""


def bucket_options(provider: str, url: str) -> dict[str, str | bool]:
    """Return the options of the bucket of a simulated provider."""
    options: dict[str, dict[str, str | bool]] = {
        "bedrock": {"endpoint": f"{url}/bedrock/s3"},
        "vertex": {"base_url": f"{url}/vertex/gcs"},
    }
    return options.get(provider, {})


END: Final = 120.0
"""Simulated seconds after which a job has ended."""
START: Final = 1_795_000_000 * 1_000_000


class LaneClient:
    """One provider's client, and one job of it."""

    def __init__(self, provider: str, providers: SimulatedProviders, exchange: HttpExchange) -> None:
        batches = provider_batches(provider, exchange, providers.advance)
        assert batches is not None
        self.batches: Final = batches
        self.provider: Final = provider
        self.providers: Final = providers
        self.account: Final = Account(
            name="acc",
            provider=provider,
            base_url=providers.url + BASES[provider],
            api_key=AWS_KEY if provider == "bedrock" else "sk-a-key",
            timeout=30.0,
            **CLOUDS.get(provider, {}),
            batch_options=bucket_options(provider, providers.url),
        )

    @property
    def kind(self) -> RowKind:
        """The kind of request that every step uses."""
        return {"anthropic": "messages", "perplexity": "responses"}.get(self.provider, "chat_completions")  # type: ignore[return-value]

    def row(self, content: object = "Hello", **fields: object) -> RequestRow:
        """Return a request."""
        text = "input" if self.kind == "responses" else "messages"
        sent = content if self.kind == "responses" else [{"role": "user", "content": content}]
        params = {"model": "sim-1", text: sent} | ({"max_tokens": 16} if self.kind == "messages" else {}) | fields
        encoded = msgspec.json.encode(params)
        return RequestRow(custom_id="c", params=encoded, model="sim-1", headers={}, kind=self.kind)

    def planned(self, seq: int, row: RequestRow) -> PlannedRow:
        """Encode a request; Perplexity's live handler sends no Responses, so its line is made here."""
        if self.provider != "perplexity":
            return self.batches.encode(self.account, row, f"r{seq}")
        line = {"custom_id": f"r{seq}", "method": "POST", "url": "/v1/responses", "body": msgspec.Raw(row.params)}
        return PlannedRow(row_id=f"r{seq}", line=msgspec.json.encode(line))

    def job(self, requests: int, token: str = "tok-1") -> NativeJob:
        """Return a job whose requests were all sent once."""
        return NativeJob(
            batch_key=1,
            token=token,
            account="acc",
            model="sim-1",
            kind=self.kind,
            seqs=b"",
            requests=requests,
            sent=requests,
            tokens=1,
            created_at=START,
            creating_at=START,
        )

    async def submit(self, rows: Iterable[RequestRow], token: str = "tok-1") -> NativeJob:
        """Upload and create a job of these requests, and return it with its id upstream."""
        uploaded, planned = await self.upload(rows, token)
        return self.created(uploaded, await self.batches.create(self.account, uploaded, stream(planned)))

    async def upload(self, rows: Iterable[RequestRow], token: str = "tok-1") -> tuple[NativeJob, list[PlannedRow]]:
        """Upload the input of a job; return the job and its rows."""
        planned = [self.planned(seq, row) for seq, row in enumerate(rows)]
        job = self.job(len(planned), token)
        file = await self.batches.upload(self.account, job, stream(planned))
        return structs.replace(job, upstream_file=file), planned

    @staticmethod
    def created(job: NativeJob, upstream: UpstreamJob) -> NativeJob:
        """Return a job with its id upstream."""
        return structs.replace(job, upstream_id=upstream.id)

    async def poll(self, job: NativeJob) -> UpstreamJob:
        """Return the state of a job that exists."""
        upstream = await self.batches.poll(self.account, job)
        assert upstream is not None
        return upstream

    async def results(self, job: NativeJob) -> list[NativeResult]:
        """Return all results of a job."""
        groups = self.batches.results(self.account, job, await self.poll(job))
        return [result async for group in groups for result in group]

    def answer(self, row: RequestRow, result: NativeResult) -> bytes:
        """Decode a result as the direct lane would; raises its error."""
        assert result.response is not None
        return PROVIDERS[self.provider].handler().decode(row, result.response)


async def stream(rows: Iterable[PlannedRow]) -> AsyncIterator[PlannedRow]:
    """Yield rows as the engine does."""
    for row in rows:
        yield row
