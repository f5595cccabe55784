"""The wire formats of Gemini's API for the simulated model; the model of a call stands in its path.

The simulator refuses what Gemini refuses, so that a translation that is wrong fails here too (more-dialects 1.2, 1.5,
1.8).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar, Final, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Raw, Struct

from batchgate.engine.model.errors import ErrorKind, RefusedError
from batchgate.providers.dialects.gemini_decoding import EMBED, GENERATE, decode_gemini
from batchgate.providers.dialects.gemini_models import combines_json_with_tools, needs_signatures
from batchgate.providers.simulator.dialects import CHARACTERS_PER_TOKEN, ModelInput, ModelOutput
from batchgate.providers.simulator.openai_dialects import DIMENSIONS, embedding
from batchgate_api import gemini as g

_STATUSES: Final[dict[ErrorKind, tuple[int, str]]] = {
    "authentication_error": (400, "INVALID_ARGUMENT"),
    "permission_error": (403, "PERMISSION_DENIED"),
    "not_found_error": (404, "NOT_FOUND"),
    "rate_limit_error": (429, "RESOURCE_EXHAUSTED"),
    "api_error": (500, "INTERNAL"),
    "overloaded_error": (503, "UNAVAILABLE"),
}
_TYPE: Final = "type.googleapis.com/google.rpc."
_PATH: Final = re.compile(r"/v1(?:beta|alpha)?/models/(.+):\w+$|/publishers/[^/]+/models/([^/]+):\w+$")
"""The paths of Gemini's API and of Vertex AI."""
_UNAUTHENTICATED: Final = 401, "UNAUTHENTICATED"
"""What Vertex says to a wrong key; Gemini's API says 400."""
_THINKING: Final = "The user wants an echo."

Details: TypeAlias = list[dict[str, object]]
T = TypeVar("T")


def rpc_error(refusal: RefusedError, *, of_vertex: bool = False) -> tuple[int, bytes]:
    """Return the HTTP status and the google.rpc.Status of a refusal; a wait is in its details, not in a header."""
    status, word = _STATUSES.get(refusal.kind, (400, "INVALID_ARGUMENT"))
    if of_vertex and refusal.kind == "authentication_error":
        status, word = _UNAUTHENTICATED
    if refusal.status is not None:
        status = refusal.status
    error = {"code": status, "message": refusal.message, "status": word, "details": _details(refusal)}
    return status, msgspec.json.encode({"error": error})


def _details(refusal: RefusedError) -> Details:
    if refusal.kind == "authentication_error":
        return [{"@type": f"{_TYPE}ErrorInfo", "reason": "API_KEY_INVALID", "domain": "googleapis.com"}]
    if wait := refusal.headers.get("retry-after"):
        return [{"@type": f"{_TYPE}RetryInfo", "retryDelay": f"{float(wait):.9f}s"}]
    return []


class GeminiDialect:
    """What the methods of Gemini's API share."""

    request_id_header: ClassVar = "x-request-id"
    sends_retry_after: ClassVar = False

    def __init__(self, path: str) -> None:
        found = _PATH.search(path)
        self._model = found[1] or found[2] if found else ""
        self._is_vertex = "/publishers/" in path

    def write_error(self, refusal: RefusedError, _request_id: str, /) -> tuple[int, bytes]:
        """Encode a google.rpc.Status."""
        return rpc_error(refusal, of_vertex=self._is_vertex)


class GenerateContentDialect(GeminiDialect):
    """Conversations."""

    path: ClassVar = ":generateContent"

    def read(self, body: bytes) -> ModelInput:
        """Decode a request."""
        return read_generate(body, self._model)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode an answer: a thought and the text."""
        model_input = answer.model_input
        thoughts = len(_THINKING) // CHARACTERS_PER_TOKEN
        parts = [{"text": _THINKING, "thought": True}, {"text": answer.text}]
        candidate = {
            "content": {"role": "model", "parts": parts},
            "finishReason": "STOP" if answer.complete else "MAX_TOKENS",
        }
        usage = {
            "promptTokenCount": model_input.input_tokens,
            "candidatesTokenCount": answer.output_tokens,
            "thoughtsTokenCount": thoughts,
            "totalTokenCount": model_input.input_tokens + answer.output_tokens + thoughts,
        }
        return msgspec.json.encode(
            {
                "candidates": [candidate],
                "usageMetadata": usage,
                "modelVersion": self._model,
                "responseId": answer.token,
            }
        )


class EmbedContentDialect(GeminiDialect):
    """The embedding of one text."""

    path: ClassVar = ":embedContent"

    def read(self, body: bytes) -> ModelInput:
        """Decode a request."""
        return embed_input(self._model, [decoded(EMBED, body)])

    def write(self, answer: ModelOutput) -> bytes:
        """Encode the embedding."""
        values = answer.model_input.embeddings[0]
        return msgspec.json.encode({"embedding": {"values": values}, "usageMetadata": _embed_usage(answer)})


class _EmbedBatch(Struct, forbid_unknown_fields=True):
    requests: list[Raw]


_EMBED_BATCH: Final = msgspec.json.Decoder(_EmbedBatch)
MAX_EMBED_REQUESTS: Final = 100


class BatchEmbedContentsDialect(GeminiDialect):
    """The embeddings of several texts."""

    path: ClassVar = ":batchEmbedContents"

    def read(self, body: bytes) -> ModelInput:
        """Decode the requests, each of which names the model of the path."""
        requests = [decoded(EMBED, bytes(raw)) for raw in decoded(_EMBED_BATCH, body).requests]
        if not 1 <= len(requests) <= MAX_EMBED_REQUESTS:
            raise invalid(
                f"BatchEmbedContentsRequest.requests: at most {MAX_EMBED_REQUESTS} requests can be in one batch"
            )
        for request in requests:
            if request.model != f"models/{self._model}":
                raise invalid("The model of each request must be that of the path.")
        return embed_input(self._model, requests)

    def write(self, answer: ModelOutput) -> bytes:
        """Encode the embeddings in the order of their requests."""
        vectors = [{"values": values} for values in answer.model_input.embeddings]
        return msgspec.json.encode({"embeddings": vectors, "usageMetadata": _embed_usage(answer)})


GEMINI_DIALECTS: Final = (GenerateContentDialect, EmbedContentDialect, BatchEmbedContentsDialect)


def _embed_usage(answer: ModelOutput) -> dict[str, int]:
    tokens = answer.model_input.input_tokens
    return {"promptTokenCount": tokens, "totalTokenCount": tokens}


def invalid(message: str) -> RefusedError:
    """Make the refusal of a wrong request."""
    return RefusedError("invalid_request_error", message)


def decoded(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a body in one of Gemini's formats; raises `RefusedError`."""
    try:
        return decode_gemini(decoder, body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise invalid(f"Invalid JSON payload received. {error}") from error


def embed_input(model: str, requests: Sequence[g.GeminiEmbedRequest]) -> ModelInput:
    """Make the model's input from requests for embeddings."""
    texts = ["\n".join(part.text or "" for part in request.content.parts or ()) for request in requests]
    sizes = [request.outputDimensionality or DIMENSIONS for request in requests]
    return ModelInput(
        model=model,
        text="",
        input_tokens=sum(1 + len(text) // CHARACTERS_PER_TOKEN for text in texts),
        max_tokens=None,
        embeddings=tuple(embedding(text, size, in_base64=False) for text, size in zip(texts, sizes, strict=True)),
    )


# ---------------------------------------------------------------- conversations


def read_generate(body: bytes, model: str) -> ModelInput:
    """Decode and check a request of generateContent."""
    request = decoded(GENERATE, body)
    if request.model is not UNSET:
        raise invalid('Invalid JSON payload received. Unknown name "model": Cannot find field.')
    if not request.contents:
        raise invalid("* GenerateContentRequest.contents: contents is not specified")
    _check_config(request, model)
    _check_calls(request.contents, model)
    config = request.generationConfig or g.GeminiGenerationConfig()
    texts = [(content.role or "user", _text(content)) for content in request.contents]
    system = _text(request.systemInstruction) if request.systemInstruction else ""
    return ModelInput(
        model=model,
        text=next((text for role, text in reversed(texts) if role == "user"), ""),
        input_tokens=1 + (len(system) + sum(len(text) for _, text in texts)) // CHARACTERS_PER_TOKEN,
        max_tokens=config.maxOutputTokens or None,
    )


def _check_config(request: g.GeminiRequest, model: str) -> None:
    config = request.generationConfig or g.GeminiGenerationConfig()
    thinking = config.thinkingConfig or g.GeminiThinkingConfig()
    if thinking.thinkingLevel and thinking.thinkingBudget not in {UNSET, None}:
        raise invalid("You can only set one of thinking budget and thinking level.")
    if config.responseMimeType == "application/json" and request.tools and not combines_json_with_tools(model):
        raise invalid("Function calling with a response mime type: 'application/json' is unsupported")
    for tool in request.tools or ():
        for declared in tool.functionDeclarations or ():
            if declared.parameters and declared.parametersJsonSchema:
                raise invalid("parameters and parameters_json_schema must not both be set.")


def _check_calls(contents: Sequence[g.GeminiContent], model: str) -> None:
    """Check that each turn of calls is followed by as many results, and that Gemini 3 gets its signatures."""
    waiting = 0
    for position, content in enumerate(contents):
        parts = content.parts or []
        if not parts:
            raise invalid(f"* GenerateContentRequest.contents[{position}].parts: contents.parts must not be empty.")
        results = sum(bool(part.functionResponse) for part in parts)
        if results != waiting:
            raise invalid(
                "Please ensure that the number of function response parts is equal to the number of function call "
                "parts of the function call turn."
            )
        calls = [part for part in parts if part.functionCall]
        if calls and needs_signatures(model) and not calls[0].thoughtSignature:
            raise invalid(
                "Function call is missing a thought_signature in functionCall parts. This is required for tools to "
                f"work correctly. position {position}."
            )
        waiting = len(calls)


def _text(content: g.GeminiContent) -> str:
    return "\n".join(part.text for part in content.parts or () if part.text)
