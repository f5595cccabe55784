"""The endpoints that OpenAI batches can name, and the kind of request of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from batchgate.engine.model.provider_call import RowKind

BatchEndpoint: TypeAlias = Literal["/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/completions"]

KINDS: Final[Mapping[BatchEndpoint, RowKind]] = MappingProxyType(
    {
        "/v1/chat/completions": "chat_completions",
        "/v1/responses": "responses",
        "/v1/embeddings": "embeddings",
        "/v1/completions": "completions",
    }
)
"""The kind of request of each endpoint."""

ENDPOINTS: Final[Mapping[RowKind, BatchEndpoint]] = MappingProxyType({kind: path for path, kind in KINDS.items()})
"""The endpoint of each kind; Messages requests have none."""
