"""The wire formats that only Vertex AI has: rawPredict for Claude, and two for embeddings (more-dialects 1.9)."""

from __future__ import annotations

from typing import ClassVar, Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.errors import RefusedError
from batchgate.providers.handlers.anthropic import TRANSLATED_VERSION
from batchgate.providers.handlers.vertex import CLAUDE_VERSION
from batchgate.providers.simulator.dialects import (
    CHARACTERS_PER_TOKEN,
    InputMessage,
    MessagesDialect,
    ModelInput,
    ModelOutput,
    TextBlock,
    decode_call,
    to_model_input,
)
from batchgate.providers.simulator.gemini_dialects import (
    MAX_EMBED_REQUESTS,
    EmbedContentDialect,
    GeminiDialect,
    embed_input,
    invalid,
)
from batchgate.providers.simulator.openai_dialects import DIMENSIONS, embedding
from batchgate_api import gemini as g

_MAX_INSTANCES: Final = 250


def is_vertex(path: str) -> bool:
    """Return whether a path is one of Vertex AI."""
    return "/publishers/" in path


class _ClaudeCall(Struct, forbid_unknown_fields=False):
    anthropic_version: str
    max_tokens: int
    messages: list[InputMessage]
    model: str | None = None
    stream: bool | None = None
    system: str | list[TextBlock] | None = None


_CLAUDE: Final = msgspec.json.Decoder(_ClaudeCall)


class RawPredictDialect(GeminiDialect):
    """Claude: the Messages format without the model, and with a version."""

    path: ClassVar = ":rawPredict"

    def read(self, body: bytes) -> ModelInput:
        """Decode a body for Claude."""
        call = decode_call(_CLAUDE, body)
        if call.anthropic_version not in {CLAUDE_VERSION, TRANSLATED_VERSION}:
            raise invalid("anthropic_version: Invalid API version")
        if call.model is not None:
            raise invalid("model: Extra inputs are not permitted")
        if call.stream:
            raise invalid("stream: rawPredict does not stream")
        messages = [InputMessage(role="system", content=call.system), *call.messages]
        return to_model_input(self._model, messages, call.max_tokens)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode a Message."""
        return MessagesDialect().write(answer)


class _Config(Struct, forbid_unknown_fields=True):
    taskType: str | None = None  # noqa: N815 - the name on the wire
    title: str | None = None
    outputDimensionality: int | None = None  # noqa: N815 - the name on the wire
    autoTruncate: bool | None = None  # noqa: N815 - the name on the wire


class _Embed(Struct, forbid_unknown_fields=True):
    content: g.GeminiContent
    embedContentConfig: _Config = msgspec.field(default_factory=_Config)  # noqa: N815 - the name on the wire

    def request(self) -> g.GeminiEmbedRequest:
        """Return the request as Gemini's own API has it."""
        size = self.embedContentConfig.outputDimensionality
        return g.GeminiEmbedRequest(content=self.content, outputDimensionality=size)


class _EmbedSeveral(Struct, forbid_unknown_fields=True):
    requests: list[_Embed]


_EMBED: Final = msgspec.json.Decoder(_Embed)
_EMBED_SEVERAL: Final = msgspec.json.Decoder(_EmbedSeveral)


class VertexEmbedDialect(EmbedContentDialect):
    """The embedding of one content by a model of Gemini."""

    def read(self, body: bytes) -> ModelInput:
        """Decode a request."""
        return embed_input(self._model, [decode_call(_EMBED, body).request()])


class VertexEmbedSeveralDialect(GeminiDialect):
    """The embeddings of several contents by a model of Gemini."""

    path: ClassVar = ":batchEmbedContents"

    def read(self, body: bytes) -> ModelInput:
        """Decode the requests."""
        requests = decode_call(_EMBED_SEVERAL, body).requests
        if not 1 <= len(requests) <= MAX_EMBED_REQUESTS:
            raise invalid(f"requests: from 1 to {MAX_EMBED_REQUESTS} can be in one call")
        return embed_input(self._model, [request.request() for request in requests])

    def write(self, answer: ModelOutput) -> bytes:
        """Encode the embeddings in the order of their requests."""
        vectors = [{"values": values} for values in answer.model_input.embeddings]
        return msgspec.json.encode({"embeddings": vectors})


class _Instance(Struct, forbid_unknown_fields=True):
    content: str
    task_type: str | None = None
    title: str | None = None


class _Parameters(Struct, forbid_unknown_fields=True):
    outputDimensionality: int | None = None  # noqa: N815 - the name on the wire
    autoTruncate: bool = True  # noqa: N815 - the name on the wire


class _Predict(Struct, forbid_unknown_fields=True):
    instances: list[_Instance]
    parameters: _Parameters = msgspec.field(default_factory=_Parameters)


_PREDICT: Final = msgspec.json.Decoder(_Predict)


class PredictDialect(GeminiDialect):
    """Embeddings by any other model."""

    path: ClassVar = ":predict"

    def read(self, body: bytes) -> ModelInput:
        """Decode the instances."""
        call = decode_call(_PREDICT, body)
        texts = [instance.content for instance in call.instances]
        if not 1 <= len(texts) <= _MAX_INSTANCES:
            raise RefusedError("invalid_request_error", f"From 1 to {_MAX_INSTANCES} instances are allowed.")
        size = call.parameters.outputDimensionality or DIMENSIONS
        return ModelInput(
            model=self._model,
            text="",
            input_tokens=sum(1 + len(text) // CHARACTERS_PER_TOKEN for text in texts),
            max_tokens=None,
            embeddings=tuple(embedding(text, size, in_base64=False) for text in texts),
        )

    def write(self, answer: ModelOutput) -> bytes:
        """Encode the predictions in the order of their instances."""
        vectors, tokens = answer.model_input.embeddings, answer.model_input.input_tokens
        shares = [tokens - (len(vectors) - 1), *([1] * (len(vectors) - 1))]
        predictions = [
            {"embeddings": {"values": values, "statistics": {"token_count": share, "truncated": False}}}
            for values, share in zip(vectors, shares, strict=True)
        ]
        return msgspec.json.encode({"predictions": predictions})


VERTEX_DIALECTS: Final = (RawPredictDialect, VertexEmbedDialect, VertexEmbedSeveralDialect, PredictDialect)
"""They come before those of Gemini, which has other formats for embeddings."""
