"""The settings of one account: the provider, its key, its limits, its lane and its prices."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from batchgate.engine.model.lane import Lane
from batchgate.engine.model.provider_call import EmbeddingInputType
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.engine.model.secret import NAME_PATTERN
from batchgate.providers.simulator.simulator import SimulatorSettings

MonthlyBudgetUsd: TypeAlias = Annotated[float, Meta(ge=0.000001, le=1_000_000_000)]
"""A budget for a calendar month in US dollars."""


class PriceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The price of a million tokens of a model in US dollars, ``[accounts.NAME.prices."MODEL"]``."""

    input: Annotated[float, Meta(ge=0, le=1_000_000)]
    """Input tokens."""
    cached_input: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    """Input tokens from the provider's cache (the same as ``input``)."""
    cache_write: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    """Input tokens that are written to the provider's cache (the same as ``input``)."""
    long_cache_write: Annotated[float, Meta(ge=0, le=1_000_000)] | None = None
    """Those that the cache keeps for an hour (the same as ``cache_write``)."""
    output: Annotated[float, Meta(ge=0, le=1_000_000)]
    """Output tokens."""


class DeploymentSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The deployments of one model on Azure, ``[accounts.NAME.deployments."MODEL"]``."""

    direct: Annotated[str, Meta(min_length=1)] | None = None
    """The deployment for calls (the name of the model)."""
    native: Annotated[str, Meta(min_length=1)] | None = None
    """The deployment for jobs, of the type GlobalBatch or DataZoneBatch."""


class AccountSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A provider account, ``[accounts.NAME]``; a request selects it with the model ``NAME/model``."""

    provider: Annotated[str, Meta(min_length=1)]
    """The provider: anthropic, openai, vllm, ollama, simulator, ..."""
    base_url: str | None = None
    """The base URL of the API, if it is not the provider's documented one."""
    region: Annotated[str, Meta(pattern="^[a-z0-9-]+$")] | None = None
    """The region, for bedrock and vertex only: us-east-1, global, ..."""
    project: Annotated[str, Meta(pattern="^[a-z0-9:.-]+$")] | None = None
    """The project of vertex, whose key is that of a service account; without one, the key is an API key."""
    api: Literal["native", "openai"] = "native"
    """The API of a provider that has two: openai is the OpenAI-compatible one of gemini (native)."""
    api_key: str | None = None
    """The API key; prefer api_key_env, api_key_file or api_key_secret."""
    api_key_env: str | None = None
    """The environment variable that holds the key."""
    api_key_file: Annotated[str, Meta(min_length=1)] | None = None
    """The file that holds the key; it is read again when the provider rejects the key."""
    api_key_secret: Annotated[str, Meta(pattern=NAME_PATTERN)] | None = None
    """The secret in the database that holds the key (`batchgate secrets`); it is read again as the file is."""
    concurrency: Annotated[int, Meta(ge=1, le=10_000)] = 64
    """Maximum requests in flight to one model; lowered automatically while the provider refuses requests (429, 529)."""
    requests_per_minute: Annotated[int, Meta(ge=1)] | None = None
    """Maximum requests started per minute, all models together."""
    tokens_per_minute: Annotated[int, Meta(ge=1)] | None = None
    """Maximum input and output tokens per minute, all models together."""
    timeout: Annotated[float, Meta(gt=0)] = 600.0
    """Timeout of one call, in seconds."""
    lane: Lane | None = None
    """Lane of batches that ask for none: auto, direct or native (auto); at a base_url of its own, auto says that the
    server has the provider's batch API."""
    native_min_requests: Annotated[int, Meta(ge=1)] = 100
    """The fewest requests of a batch for one model that the lane auto puts into jobs; fewer run directly."""
    enqueued_tokens: Annotated[int, Meta(ge=1)] | None = None
    """The provider's limit of tokens that wait in its batch queue for one model; without it, the refusals teach it."""
    embedding_input_type: EmbeddingInputType | None = None
    """What requests for embeddings are for, for cohere only, which calls it input_type: search_document, search_query,
    classification or clustering (search_document)."""
    deployments: dict[str, DeploymentSettings] = {}
    """Azure's deployments by model; without, the model of a request is the name of its deployment in both lanes."""
    batch_url: Annotated[str, Meta(pattern="^(s3|gs)://.")] | None = None
    """The bucket for jobs, which makes the native lane possible: s3://bucket/prefix for bedrock, together with
    batch_role, and gs://bucket/prefix for vertex."""
    batch_role: Annotated[str, Meta(min_length=1)] | None = None
    """The role (ARN) in which bedrock reads and writes the bucket."""
    job_min_requests: Annotated[int, Meta(ge=1)] | None = None
    """The fewest requests that bedrock takes in one job (100, or what the quota of the AWS account says)."""
    batch_options: dict[str, str | bool] = {}
    """Options for batch_url beside the environment, by obstore's names."""
    keep_outputs: bool = False
    """Fetch what the tasks of replicate and runway have made, and keep it as files."""
    monthly_budget_usd: MonthlyBudgetUsd | None = None
    """What the answers of a month (UTC) may cost, in US dollars, before batches that call the account are paused."""
    prices: dict[str, PriceSettings] = {}
    """Normal prices by model; ``*`` is any other model. Requests without a price count as free."""
    catalogue_prices: bool | None = None
    """Take the prices that are not in prices from the catalogue of the extra prices (at the provider's own host)."""
    native_factors: dict[str, Annotated[float, Meta(ge=0, le=1)]] = {}
    """The part of the normal price that a request costs in the native lane, by model; ``*`` is any other model (what
    the catalogue or the provider says)."""
    simulator: SimulatorSettings = SimulatorSettings()
    """The behaviour of the provider simulator."""

    def __repr__(self) -> str:
        """Show the account without its key."""
        return redacted_repr(self, "api_key", "batch_options")
