"""The endpoints that OpenAI batches can name, and the kind of request of each."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

from batchgate.engine.model.provider_call import OWN_KINDS, RowKind

BatchEndpoint: TypeAlias = Literal[
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/embeddings",
    "/v1/completions",
    "/v1beta/models/{model}:generateContent",
    "/v1beta/models/{model}:embedContent",
    "/model/{model}/converse",
    "/model/{model}/invoke",
    "/v1/audio/speech",
    "/v1/predictions",
    "/v1/models/{owner}/{name}/predictions",
    "/v1/deployments/{owner}/{name}/predictions",
    "/v1/text-to-speech/{voice_id}",
    "/v1/text-to-speech/{voice_id}/with-timestamps",
    "/v1/text-to-dialogue",
    "/v1/text-to-dialogue/with-timestamps",
    "/v1/sound-generation",
    "/v1/music",
    "/v1/text_to_video",
    "/v1/image_to_video",
    "/v1/video_to_video",
    "/v1/text_to_image",
    "/v1/text_to_speech",
    "/v1/sound_effect",
    "/v1/speech_to_speech",
    "/v1/voice_dubbing",
    "/v1/voice_isolation",
    "/v1/video_upscale",
    "/v1/image_upscale",
    "/v1/character_performance",
    "/v2/chat",
    "/v2/embed",
]

KINDS: Final[Mapping[BatchEndpoint, RowKind]] = MappingProxyType(
    {
        "/v1/chat/completions": "chat_completions",
        "/v1/responses": "responses",
        "/v1/embeddings": "embeddings",
        "/v1/completions": "completions",
        "/v1beta/models/{model}:generateContent": "generate_content",
        "/v1beta/models/{model}:embedContent": "embed_content",
        "/model/{model}/converse": "converse",
        "/model/{model}/invoke": "invoke_model",
        "/v1/audio/speech": "speech",
        "/v1/predictions": "replicate",
        "/v1/models/{owner}/{name}/predictions": "replicate",
        "/v1/deployments/{owner}/{name}/predictions": "replicate",
        "/v1/text-to-speech/{voice_id}": "elevenlabs",
        "/v1/text-to-speech/{voice_id}/with-timestamps": "elevenlabs",
        "/v1/text-to-dialogue": "elevenlabs",
        "/v1/text-to-dialogue/with-timestamps": "elevenlabs",
        "/v1/sound-generation": "elevenlabs",
        "/v1/music": "elevenlabs",
        "/v1/text_to_video": "runway",
        "/v1/image_to_video": "runway",
        "/v1/video_to_video": "runway",
        "/v1/text_to_image": "runway",
        "/v1/text_to_speech": "runway",
        "/v1/sound_effect": "runway",
        "/v1/speech_to_speech": "runway",
        "/v1/voice_dubbing": "runway",
        "/v1/voice_isolation": "runway",
        "/v1/video_upscale": "runway",
        "/v1/image_upscale": "runway",
        "/v1/character_performance": "runway",
        "/v2/chat": "cohere_chat",
        "/v2/embed": "cohere_embed",
    }
)
"""The kind of request of each endpoint."""

ENDPOINTS: Final[Mapping[RowKind, BatchEndpoint]] = MappingProxyType(
    {kind: path for path, kind in KINDS.items() if kind not in OWN_KINDS}
)
"""The endpoint of each kind; Messages requests have none, and a provider's own kind has several."""


def own_endpoints(kind: RowKind) -> tuple[BatchEndpoint, ...]:
    """List the endpoints of a provider's own kind."""
    return tuple(path for path, found in KINDS.items() if found == kind)
