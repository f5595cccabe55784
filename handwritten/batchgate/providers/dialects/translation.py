"""Translates a request or an answer of one kind to another kind: the entry point of the dialects.

Other conversations are translated via Chat Completions. A field that Chat Completions lacks is therefore rejected, even
if both ends support it. Embeddings are translated between OpenAI's format and Gemini's, and
answers of Cohere's embed to both. Completions, bodies of InvokeModel and requests of Cohere are never translated.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.chat_via_converse.answer import converse_to_completion
from batchgate.providers.dialects.chat_via_converse.request import chat_to_converse
from batchgate.providers.dialects.chat_via_gemini.answer import gemini_to_completion
from batchgate.providers.dialects.chat_via_gemini.request import chat_to_gemini
from batchgate.providers.dialects.chat_via_messages.answer import message_to_completion
from batchgate.providers.dialects.chat_via_messages.request import chat_to_messages
from batchgate.providers.dialects.chat_via_responses.answer import response_to_completion
from batchgate.providers.dialects.chat_via_responses.request import chat_to_responses
from batchgate.providers.dialects.cohere_embeddings import cohere_embeddings_to_openai
from batchgate.providers.dialects.converse_via_chat.answer import completion_to_converse
from batchgate.providers.dialects.converse_via_chat.request import converse_to_chat
from batchgate.providers.dialects.gemini_decoding import GENERATE, decode_gemini
from batchgate.providers.dialects.gemini_embeddings.answers import (
    gemini_embeddings_to_openai,
    openai_embeddings_to_gemini,
)
from batchgate.providers.dialects.gemini_embeddings.requests import embeddings_to_gemini, gemini_to_embeddings
from batchgate.providers.dialects.gemini_via_chat.answer import completion_to_gemini
from batchgate.providers.dialects.gemini_via_chat.request import gemini_to_chat
from batchgate.providers.dialects.lenient_decoding import decode_answer
from batchgate.providers.dialects.messages_via_chat.answer import completion_to_message
from batchgate.providers.dialects.messages_via_chat.request import messages_to_chat
from batchgate.providers.dialects.responses_via_chat.answer import completion_to_response
from batchgate.providers.dialects.responses_via_chat.request import responses_to_chat
from batchgate.providers.dialects.server_capabilities import ALL_CHAT_COMPLETIONS, ServerCapabilities
from batchgate.providers.dialects.tool_call_ids import fit_tool_call_ids
from batchgate_api import chat_completions, converse, gemini, messages, responses

KIND_NAMES: Final[dict[RowKind, str]] = {
    "messages": "Messages",
    "chat_completions": "Chat Completions",
    "responses": "Responses",
    "embeddings": "embeddings",
    "completions": "completions",
    "generate_content": "generateContent",
    "embed_content": "embedContent",
    "converse": "Converse",
    "invoke_model": "InvokeModel",
    "speech": "speech from text",
    "replicate": "predictions of Replicate",
    "elevenlabs": "ElevenLabs' own requests",
    "runway": "tasks of Runway",
    "cohere_chat": "Cohere's chat",
    "cohere_embed": "Cohere's embed",
}
"""The names of the kinds in messages."""

CONVERSATION_KINDS: Final[frozenset[RowKind]] = frozenset(
    {"messages", "chat_completions", "responses", "generate_content", "converse"}
)
"""The kinds of conversations, which can be translated to each other."""

EMBEDDING_KINDS: Final[frozenset[RowKind]] = frozenset({"embeddings", "embed_content"})
"""The kinds of embeddings, which can be translated to each other."""

_PARAMS: Final = msgspec.json.Decoder(messages.MessageParams)
_CHAT: Final = msgspec.json.Decoder(chat_completions.ChatCompletionRequest)
_RESPONSES: Final = msgspec.json.Decoder(responses.ResponsesRequest)
_CONVERSE: Final = msgspec.json.Decoder(converse.ConverseRequest)
_MESSAGE: Final = msgspec.json.Decoder(messages.Message)
_COMPLETION: Final = msgspec.json.Decoder(chat_completions.ChatCompletion)
_RESPONSE: Final = msgspec.json.Decoder(responses.Response)
_CONVERSE_ANSWER: Final = msgspec.json.Decoder(converse.ConverseResponse)
_GEMINI: Final = msgspec.json.Decoder(gemini.GeminiAnswer)
_ENCODER: Final = msgspec.json.Encoder()


class AnswerContext(Struct, frozen=True, kw_only=True):
    """Facts about the request of an answer: defaults for missing fields, and fields that a Response repeats."""

    model: str
    custom_id: str
    created: int
    """Unix seconds."""
    request: bytes | None = None
    """The request, of the kind that the answer is translated to, if available."""


def translate_request(
    body: bytes, *, kind: RowKind, to: RowKind, model: str, target: ServerCapabilities = ALL_CHAT_COMPLETIONS
) -> bytes:
    """Translate a request to the kind ``to``, for ``model``.

    A request that already has that kind is returned unchanged. ``target`` is the Chat Completions server that receives
    it. Raises `RequestError` that names an invalid field, or `Untranslatable` for one that cannot be translated.
    """
    if kind == to:
        return body
    require_translatable(kind, to)
    try:
        if kind in EMBEDDING_KINDS:
            return _ENCODER.encode(_embeddings_request(body, to, model))
        chat = _to_chat_request(body, kind, model, target if to == "chat_completions" else ALL_CHAT_COMPLETIONS)
        if to == "chat_completions":
            chat = _fitted(chat, target)
        return _ENCODER.encode(_from_chat_request(chat, kind, to, model))
    except DECODING_ERRORS as error:
        raise RequestError("invalid_request_error", str(describe_decoding_error(error))) from error


def translate_answer(body: bytes, *, kind: RowKind, to: RowKind, context: AnswerContext) -> bytes:
    """Translate an answer to the kind ``to``, in one line.

    Raises `RequestError` for content that the other kind cannot represent, and one of `DECODING_ERRORS` if the body is
    not an answer of ``kind``.
    """
    if kind == to:
        return to_single_line(body)
    if kind == "cohere_embed" and to in EMBEDDING_KINDS:
        embeddings = cohere_embeddings_to_openai(body, model=context.model, request=context.request)
        return translate_answer(_ENCODER.encode(embeddings), kind="embeddings", to=to, context=context)
    require_translatable(kind, to)
    if kind in EMBEDDING_KINDS:
        return to_single_line(_ENCODER.encode(_embeddings_answer(body, to, context)))
    seed = b"%d %b %b" % (context.created, context.custom_id.encode(errors="surrogatepass"), body)
    return to_single_line(
        _ENCODER.encode(_from_chat_answer(_to_chat_answer(body, kind, context, seed), to, context, seed))
    )


def require_translatable(kind: RowKind, to: RowKind) -> None:
    """Raise `Untranslatable` unless both kinds are conversations, or both are embeddings."""
    if not ({kind, to} <= CONVERSATION_KINDS or {kind, to} <= EMBEDDING_KINDS):
        reason = f"cannot translate {KIND_NAMES[kind]} to {KIND_NAMES[to]}"
        raise Untranslatable("url", f"{reason}; choose a provider that supports {KIND_NAMES[kind]}")


def to_single_line(document: bytes) -> bytes:
    """Replace line breaks in a JSON document by spaces: strings in JSON contain none."""
    if b"\n" in document or b"\r" in document:
        document = document.replace(b"\n", b" ").replace(b"\r", b" ")
    return document.strip()


# ---------------------------------------------------------------- embeddings


def _embeddings_request(body: bytes, to: RowKind, model: str) -> Struct:
    return embeddings_to_gemini(body, model) if to == "embed_content" else gemini_to_embeddings(body, model)


def _embeddings_answer(body: bytes, to: RowKind, context: AnswerContext) -> Struct:
    if to == "embed_content":
        return openai_embeddings_to_gemini(body)
    return gemini_embeddings_to_openai(body, model=context.model, request=context.request)


# ---------------------------------------------------------------- requests


def _to_chat_request(
    body: bytes, kind: RowKind, model: str, target: ServerCapabilities
) -> chat_completions.ChatCompletionRequest:
    if kind == "messages":
        return messages_to_chat(_PARAMS.decode(body), model=model, target=target)
    if kind == "responses":
        return responses_to_chat(_RESPONSES.decode(body), model=model, target=target)
    if kind == "converse":
        return converse_to_chat(_CONVERSE.decode(body), model=model, target=target)
    if kind == "generate_content":
        return gemini_to_chat(decode_gemini(GENERATE, body), model=model, target=target)
    return _CHAT.decode(body)


def _fitted(
    chat: chat_completions.ChatCompletionRequest, target: ServerCapabilities
) -> chat_completions.ChatCompletionRequest:
    """Return a request with the ids of tool calls and the format of answers that a server accepts."""
    if target.tool_ids:
        chat = replace(chat, messages=fit_tool_call_ids(chat.messages, target.tool_ids))
    described = chat.response_format
    if target.schema_format == "json_object" and isinstance(described, chat_completions.ChatJsonSchemaFormat):
        json_object = chat_completions.ChatJsonObjectFormat(schema=described.json_schema.schema)
        chat = replace(chat, response_format=json_object)
    return chat


_FROM_CHAT: Final[dict[RowKind, Callable[..., Struct]]] = {
    "messages": chat_to_messages,
    "responses": chat_to_responses,
    "converse": chat_to_converse,
    "generate_content": chat_to_gemini,
}
"""The translations from Chat Completions; each takes the request and the ``model``."""


def _from_chat_request(chat: chat_completions.ChatCompletionRequest, kind: RowKind, to: RowKind, model: str) -> Struct:
    if to == "chat_completions":
        return chat
    try:
        return _FROM_CHAT[to](chat, model=model)
    except Untranslatable as error:
        if kind == "chat_completions":
            raise
        raise Untranslatable(error.field, f"{error.reason} (the name of the field in Chat Completions)") from error


# ---------------------------------------------------------------- answers


def _to_chat_answer(body: bytes, kind: RowKind, context: AnswerContext, seed: bytes) -> chat_completions.ChatCompletion:
    model, custom_id, created = context.model, context.custom_id, context.created
    if kind == "messages":
        message = decode_answer(_MESSAGE, body)
        return message_to_completion(message, model=model, custom_id=custom_id, created=created, call_id_seed=seed)
    if kind == "responses":
        response = decode_answer(_RESPONSE, body)
        return response_to_completion(response, model=model, custom_id=custom_id, created=created, call_id_seed=seed)
    if kind == "converse":
        answer = decode_answer(_CONVERSE_ANSWER, body)
        return converse_to_completion(answer, model=model, custom_id=custom_id, created=created, call_id_seed=seed)
    if kind == "generate_content":
        generated = decode_answer(_GEMINI, body)
        return gemini_to_completion(generated, model=model, custom_id=custom_id, created=created, call_id_seed=seed)
    return decode_answer(_COMPLETION, body)


def _from_chat_answer(
    completion: chat_completions.ChatCompletion, to: RowKind, context: AnswerContext, seed: bytes
) -> Struct:
    if to == "messages":
        return completion_to_message(completion, model=context.model, custom_id=context.custom_id, call_id_seed=seed)
    if to == "generate_content":
        return completion_to_gemini(completion, model=context.model, custom_id=context.custom_id, call_id_seed=seed)
    if to == "responses":
        return completion_to_response(
            completion,
            model=context.model,
            custom_id=context.custom_id,
            created=context.created,
            request=None if context.request is None else _RESPONSES.decode(context.request),
            call_id_seed=seed,
        )
    if to == "converse":
        return completion_to_converse(completion, call_id_seed=seed)
    return completion
