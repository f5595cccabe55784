"""The fields of a request that are checked when its file is read; the provider checks the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.provider_call import RowKind


class CheckedBody(Struct, frozen=True):
    """The fields of a request of any kind."""

    model: str | UnsetType = UNSET
    stream: Raw | UnsetType = UNSET
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    conversation: Raw | UnsetType = UNSET
    previous_response_id: Raw | UnsetType = UNSET
    contents: Raw | UnsetType = UNSET
    content: Raw | UnsetType = UNSET
    texts: Raw | UnsetType = UNSET
    images: Raw | UnsetType = UNSET
    inputs: Raw | UnsetType = UNSET


CONTENT_FIELDS: Final[Mapping[RowKind, tuple[str, ...]]] = {
    "chat_completions": ("messages",),
    "responses": ("input", "prompt", "conversation", "previous_response_id"),
    "embeddings": ("input",),
    "completions": ("prompt",),
    "generate_content": ("contents",),
    "embed_content": ("content",),
    "converse": ("messages",),
    "invoke_model": (),
    "cohere_chat": ("messages",),
    "cohere_embed": ("texts", "images", "inputs"),
    "speech": ("input",),
    "replicate": ("input",),
    "elevenlabs": (),
    "runway": (),
}
"""The fields of which every request of a kind needs one, the usual one first; some kinds need none."""
