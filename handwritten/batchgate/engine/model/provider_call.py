"""Calls to providers: accounts, request rows, HTTP requests and responses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from batchgate.engine.model.lane import Lane
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.engine.model.shown_url import shown_url

RowKind: TypeAlias = Literal[
    "messages",
    "chat_completions",
    "responses",
    "embeddings",
    "completions",
    "generate_content",
    "embed_content",
    "converse",
    "invoke_model",
    "speech",
    "replicate",
    "elevenlabs",
    "runway",
    "cohere_chat",
    "cohere_embed",
]
"""The API that a request is written for; it determines the wire formats of request and answer."""

ANTHROPIC_VERSION: Final = "2023-06-01"
"""The header ``anthropic-version`` of calls for which the caller gave none."""

OWN_KINDS: Final[frozenset[RowKind]] = frozenset({"replicate", "elevenlabs", "runway"})
"""The kinds whose requests go to urls of one provider, and reach no other; each has the provider's name."""

HttpMethod: TypeAlias = Literal["POST", "GET", "DELETE"]


EmbeddingInputType: TypeAlias = Literal["search_document", "search_query", "classification", "clustering"]
"""What texts are embedded for, in the words of Cohere."""


class Deployment(Struct, frozen=True, kw_only=True):
    """The names under which a provider serves one model (Azure: native-lanes 2.2)."""

    direct: str | None = None
    """The name for calls; None if it is the model's."""
    native: str | None = None
    """The name for jobs of the batch API; None if the model has no such deployment."""


class Account(Struct, frozen=True, kw_only=True):
    """A configured provider endpoint: its URL, its credentials and its limits."""

    name: str
    """Unique among the accounts; a ``name/model`` prefix or the x-model-provider header selects the account by it."""
    provider: str
    """A name from the documented provider enum, or ``simulator``."""
    base_url: str
    """The URL that the paths in the provider's documentation are relative to; no trailing slash."""
    api_key: str | None = None
    region: str | None = None
    """The region of the cloud, for a provider that has several."""
    project: str | None = None
    """The project in the cloud, whose keys change by themselves; each of them sees its jobs."""
    concurrency: int = 64
    """The maximum number of requests in flight to one model of this account."""
    requests_per_minute: int | None = None
    """The maximum number of requests sent in a minute, for all models together."""
    tokens_per_minute: int | None = None
    """The maximum number of tokens of these requests, input and output together."""
    timeout: float = 600.0
    """Seconds for one call, from the first byte sent to the last byte received."""
    lane: Lane = "auto"
    """The lane of batches that ask for none."""
    native_min_requests: int = 100
    """The fewest requests of a batch for one model that the lane ``auto`` puts into jobs."""
    enqueued_tokens: int | None = None
    """The provider's limit of tokens that may wait in its batch queue for one model; None if it is not known."""
    batch_url: str | None = None
    """The bucket for the jobs of a provider that reads and writes objects, s3://bucket/prefix."""
    batch_role: str | None = None
    """The role in which the provider opens the bucket."""
    job_min_requests: int | None = None
    """The fewest requests of a job, if the account has another minimum than the provider's default."""
    batch_options: Mapping[str, str | bool] = {}
    """Options of the bucket, by obstore's names."""
    embedding_input_type: EmbeddingInputType = "search_document"
    """What the texts are embedded for, for a provider that wants to know it."""
    keep_outputs: bool = False
    """Whether what its tasks made is fetched and kept as files."""
    deployments: Mapping[str, Deployment] = {}
    """The deployments by model; other models are deployed under their own name."""

    @property
    def has_native_deployments(self) -> bool:
        """Whether some models are deployed for the batch API; then no others are."""
        return any(deployment.native for deployment in self.deployments.values())

    def deployment(self, model: str) -> Deployment:
        """Return the names under which the provider serves a model."""
        found = self.deployments.get(model)
        if found is not None:
            return found
        return Deployment(native=None if self.has_native_deployments else model)

    def __repr__(self) -> str:
        """Return a repr without the key, and without a password in the URL."""
        return f"Account(name={self.name!r}, provider={self.provider!r}, base_url={self.shown_url!r})"

    @property
    def shown_url(self) -> str:
        """The URL without anything that looks like a credential."""
        return shown_url(self.base_url)


class RequestRow(Struct, frozen=True, kw_only=True):
    """One request of a batch, as the engine passes it to a provider handler."""

    custom_id: str
    params: bytes
    """The raw JSON object of the request: ``params`` or ``body`` of its line."""
    model: str
    """The model to request from the provider, without an account prefix."""
    headers: Mapping[str, str]
    """Headers of the create call that are sent with each request, lower case: anthropic-version, anthropic-beta, ..."""
    kind: RowKind = "messages"
    """The wire format of ``params`` and of the answer."""
    url: str | None = None
    """The path and query at the provider, for one of `OWN_KINDS`."""


class UpstreamRequest(Struct, frozen=True, kw_only=True):
    """One HTTP call to a provider."""

    url: str
    headers: Mapping[str, str]
    body: bytes
    timeout: float
    method: HttpMethod = "POST"
    makes_file: bool = False
    """Whether the answer is not JSON, but content that becomes a file."""
    sign: Callable[[UpstreamRequest], Mapping[str, str]] | None = None
    """Returns the headers that are valid only for some minutes, such as a signature; None if there are none."""

    def __repr__(self) -> str:
        """Return a repr without the headers, which contain the key, and without the body."""
        return redacted_repr(self, "headers", "body", "sign")

    def signed(self) -> UpstreamRequest:
        """Return the request to send now, with the headers that `sign` makes."""
        return self if self.sign is None else structs.replace(self, headers={**self.headers, **self.sign(self)})


class UpstreamResponse(Struct, frozen=True, kw_only=True, gc=False):
    """The complete response of a provider; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        """Return a repr without headers and body, which may quote the key."""
        return redacted_repr(self, "headers", "body")


class RemainingLimit(Struct, frozen=True, kw_only=True):
    """What remains of one of the provider's rate limits, as its response states."""

    unit: Literal["requests", "tokens"]
    remaining: float
    reset: float
    """Seconds until the full limit is available again."""
