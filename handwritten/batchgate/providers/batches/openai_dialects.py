"""How the batch APIs in the shape of OpenAI's differ from it; nothing but the shape of the calls is taken for granted.

Sources: openai 3.57 and groq 1.7 (SDKs), the providers' documentation, and the live runs that
github.com/OpenRouterTeam/docs describes (docs/batch-research).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal

from msgspec import Struct, structs

from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.ports.provider_batches import LaneLimits


class OpenAIDialect(Struct, frozen=True, kw_only=True):
    """One batch API; the defaults are OpenAI's."""

    name: str
    """The provider's name in messages."""
    endpoints: Mapping[RowKind, str]
    """The kinds of requests that may be in a job, and their endpoint as the create call and each line name it."""
    limits: LaneLimits
    base_suffixes: tuple[str, ...] = ()
    """Ends of an account's ``base_url`` that belong to the live API alone."""
    root: str = ""
    """The path below the rest of the ``base_url`` that ``/files`` and ``/batches`` are relative to."""
    query: str = ""
    """The query string of every call."""
    pages: Literal["after", "cursor"] = "after"
    """How the list of jobs goes on: after the last id, or at ``paging.next_cursor``."""
    newest_first: bool = False
    """Whether the list is known to begin with the newest job, so that it need not be read to its end."""
    first_line: Literal[0, 1] = 1
    """The number of the first line in a fault."""
    idempotent: bool = False
    """Whether a create call with the same Idempotency-Key returns the job that exists."""
    file_expiry: int | None = None
    """Seconds after which the input file is removed; None leaves it to the provider."""
    pending_files: bool = False
    """Whether a file may be pending after its upload, and can be used only when it is processed."""


def _limits(max_requests: int = 50_000, megabytes: int = 200, *, one_model: bool = True) -> LaneLimits:
    """Make limits; no provider states a limit for one line, so it may be as large as the file."""
    size = megabytes * 1_000_000
    return LaneLimits(max_requests=max_requests, max_bytes=size, max_row_bytes=size, one_model=one_model)


_UNPUBLISHED: Final = structs.replace(_limits(10_000, 100), unpublished=frozenset({"max_requests", "max_bytes"}))
"""The limits for providers that publish none: less than anyone else's."""


def _endpoints(*kinds: RowKind) -> Mapping[RowKind, str]:
    return {kind: f"/v1/{kind.replace('_', '/')}" for kind in kinds}


AZURE_API_VERSION: Final = "2025-03-01-preview"
"""The first version of Azure's API in which an input file can expire."""

OPENAI_DIALECTS: Final[Mapping[str, OpenAIDialect]] = MappingProxyType(
    {
        dialect.name: dialect
        for dialect in (
            OpenAIDialect(
                name="openai",
                endpoints=_endpoints("chat_completions", "responses", "embeddings", "completions"),
                limits=_limits(),
                newest_first=True,
            ),
            OpenAIDialect(
                name="azure",
                endpoints={"chat_completions": "/chat/completions"},
                limits=_limits(100_000),
                base_suffixes=("/openai/v1", "/openai"),
                root="/openai",
                query=f"api-version={AZURE_API_VERSION}",
                newest_first=True,
                file_expiry=14 * 24 * 3600,
                pending_files=True,
            ),
            OpenAIDialect(
                name="groq",
                endpoints=_endpoints("chat_completions"),
                limits=_limits(megabytes=100, one_model=False),
                pages="cursor",
            ),
            OpenAIDialect(name="cerebras", endpoints=_endpoints("chat_completions"), limits=_limits()),
            OpenAIDialect(
                name="parasail",
                endpoints=_endpoints("chat_completions", "embeddings"),
                limits=_limits(megabytes=1000),
            ),
            OpenAIDialect(name="nebius", endpoints=_endpoints("chat_completions"), limits=_UNPUBLISHED),
            OpenAIDialect(
                name="perplexity",
                endpoints=_endpoints("responses"),
                limits=_UNPUBLISHED,
                base_suffixes=("/v1",),
                root="/v1",
                idempotent=True,
            ),
            OpenAIDialect(
                name="deepinfra",
                endpoints=_endpoints("chat_completions", "embeddings", "completions"),
                limits=_limits(),
                first_line=0,
            ),
        )
    }
)
"""The batch APIs by the provider's name."""
