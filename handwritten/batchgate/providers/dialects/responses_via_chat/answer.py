"""Translates an answer: Chat Completions to Response, by the rules of `CHAT_TO_RESPONSE`.

A Response repeats fields of its request. Without the request, fields that OpenAI always sends have their defaults.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.providers.dialects.answer_images import base64_image, markdown_image, message_image_urls
from batchgate.providers.dialects.completion import (
    AnswerPart,
    answer_parts,
    completion_tokens,
    first_choice,
    token_count,
    unusable_answer,
)
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.dialects.tool_arguments import arguments_text
from batchgate.providers.dialects.tool_call_ids import made_up_call_id
from batchgate_api import chat_completions as c
from batchgate_api import responses as r

_INCOMPLETE: Final[dict[FinishClass, str]] = {"cut_off": "max_output_tokens", "filtered": "content_filter"}
_NULL: Final = Raw(b"null")
UNKNOWN_FINISH: Final = "unknown_finish_reason"
"""The key in metadata for a finish reason that is in no table."""
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_RESPONSE: Final = msgspec.json.Decoder(r.Response)
_ECHOED_FIELDS: Final = frozenset(r.Response.__struct_fields__) - {"model", "service_tier"}
_DEFAULTS: Final = {
    "output": Raw(b"[]"),
    "instructions": _NULL,
    "metadata": Raw(b"{}"),
    "parallel_tool_calls": Raw(b"true"),
    "temperature": _NULL,
    "tool_choice": Raw(b'"auto"'),
    "tools": Raw(b"[]"),
    "top_p": _NULL,
}
"""Fields that are required in OpenAI's types."""


class _Logprobs(Struct, frozen=True):
    content: Raw | UnsetType = UNSET


class _CustomCall(Struct, frozen=True):
    name: str
    input: str


class _GeneratedImage(Struct, frozen=True, tag_field="type", tag="image_generation_call"):
    """An output item of Responses that spec/responses.yaml does not have, as no translated request asks for it."""

    id: str
    result: str
    output_format: str
    status: str = "completed"


_LOGPROBS: Final = msgspec.json.Decoder(_Logprobs)
_CUSTOM_CALL: Final = msgspec.json.Decoder(_CustomCall)


def completion_to_response(
    completion: c.ChatCompletion,
    *,
    model: str,
    custom_id: str,
    created: int,
    request: r.ResponsesRequest | None = None,
    call_id_seed: bytes = b"",
) -> r.Response:
    """Translate the first choice of a completion to a Response.

    ``model``, ``custom_id`` and ``created`` (Unix seconds) are defaults for fields that the server left out. The
    Response repeats fields of ``request``. Calls without an id get one that is made of ``call_id_seed``. Raises
    `NoUpstreamAnswer` for an invalid answer.
    """
    choice = first_choice(completion)
    response_id = completion.id or f"resp_{custom_id}"
    made = int(completion.created or created)
    ending = classify_finish(choice.finish_reason or None)
    cut = _INCOMPLETE.get(ending)
    status = "incomplete" if cut else "completed"
    echoed = _echo_request(request)
    return msgspec.structs.replace(
        echoed,
        metadata=_metadata(echoed, choice.finish_reason) if ending == "unknown" else echoed.metadata,
        id=response_id,
        object="response",
        created_at=made,
        completed_at=None if cut else made,
        status=status,
        error=None,
        incomplete_details=r.ResponseIncompleteDetails(reason=cut) if cut else None,
        model=completion.model or model,
        output=[Raw(msgspec.json.encode(item)) for item in _output(choice, response_id, status, call_id_seed)],
        usage=_usage(completion.usage or c.ChatUsage()),
        service_tier=completion.service_tier,
    )


def _echo_request(request: r.ResponsesRequest | None) -> r.Response:
    """Make a Response with the fields that it repeats from the request."""
    fields = {} if request is None else _FIELDS.decode(msgspec.json.encode(request))
    kept = {name: value for name, value in fields.items() if name in _ECHOED_FIELDS and bytes(value) != b"null"}
    return _RESPONSE.decode(msgspec.json.encode(_DEFAULTS | kept))


def _metadata(echoed: r.Response, finish_reason: str | UnsetType | None) -> Raw:
    """Return the metadata with a finish reason that is in no table, as a Response has no other field for it."""
    metadata = _FIELDS.decode(echoed.metadata or b"{}")
    return Raw(msgspec.json.encode({UNKNOWN_FINISH: Raw(msgspec.json.encode(finish_reason))} | metadata))


# ---------------------------------------------------------------- output


def _output(choice: c.ChatChoice, response_id: str, status: str, call_id_seed: bytes) -> Iterator[Struct]:
    message = choice.message
    thoughts, texts, images = _read_parts(message)
    if thoughts:
        content = [r.ResponseThought(type="reasoning_text", text=thought) for thought in thoughts]
        yield r.ResponseReasoning(type="reasoning", id=f"rs_{response_id}", summary=[], content=content)
    calls = [*_calls(message, response_id, call_id_seed)]
    parts = [*_parts("".join(texts), message.refusal, choice.logprobs)]
    if parts or not (calls or images):
        yield r.ResponseMessage(type="message", id=f"msg_{response_id}", role="assistant", status=status, content=parts)
    for index, (image_format, data) in enumerate(images):
        yield _GeneratedImage(f"ig_{response_id}_{index}", data, image_format)
    yield from calls


def _read_parts(message: c.ChatMessage) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Return the reasoning, the texts, and the format and data of the images of a message.

    An image that is not a data URL is part of the texts, as Markdown.
    """
    thought = message.reasoning or message.reasoning_content
    thoughts, texts, images = [thought] if thought else [], list[str](), list[tuple[str, str]]()
    if isinstance(message.content, str):
        texts.append(message.content)
    parts = message.content if isinstance(message.content, list) else ()
    found = [read for part in parts for read in answer_parts(part, "Responses")]
    found += [AnswerPart("image", url) for url in message_image_urls(message)]
    for part in found:
        if part.kind == "thinking":
            thoughts.append(part.text)
        elif part.kind == "text":
            texts.append(part.text)
        elif image := base64_image(part.text):
            images.append(image)
        else:
            texts.append(markdown_image(part.text))
    return thoughts, texts, images


def _parts(text: str, refusal: str | UnsetType | None, logprobs: Raw | UnsetType) -> Iterator[r.ResponseMessagePart]:
    if text:
        yield r.ResponseMessagePart(
            type="output_text", text=text, annotations=Raw(b"[]"), logprobs=_token_logprobs(logprobs)
        )
    if refusal:
        yield r.ResponseMessagePart(type="refusal", refusal=refusal)


def _token_logprobs(logprobs: Raw | UnsetType) -> Raw | UnsetType:
    if not logprobs or bytes(logprobs) == b"null":
        return UNSET
    try:
        return _LOGPROBS.decode(logprobs).content
    except DECODING_ERRORS:
        return UNSET


def _calls(message: c.ChatMessage, response_id: str, call_id_seed: bytes) -> Iterator[Struct]:
    for index, call in enumerate(message.tool_calls or ()):
        call_id, item_id = call.id or made_up_call_id(call_id_seed, index), f"{response_id}_{index}"
        if call.function:
            yield _function_call(call.function, call_id, item_id)
        elif call.custom:
            yield _custom_call(call.custom, call_id, item_id)
        else:
            raise unusable_answer("it has a tool call that is neither a function call nor a custom tool call")
    if message.function_call:
        yield _function_call(message.function_call, made_up_call_id(call_id_seed, 0), f"{response_id}_0")


def _function_call(function: c.ChatCalledFunction, call_id: str, item_id: str) -> r.ResponseFunctionCall:
    return r.ResponseFunctionCall(
        type="function_call",
        id=f"fc_{item_id}",
        call_id=call_id,
        name=function.name,
        arguments=arguments_text(function.arguments),
        status="completed",
    )


def _custom_call(raw: Raw, call_id: str, item_id: str) -> r.ResponseCustomToolCall:
    try:
        call = _CUSTOM_CALL.decode(raw)
    except DECODING_ERRORS as error:
        raise unusable_answer("it has a custom tool call without a name or an input") from error
    return r.ResponseCustomToolCall(
        type="custom_tool_call", id=f"ctc_{item_id}", call_id=call_id, name=call.name, input=call.input
    )


# ---------------------------------------------------------------- usage


def _usage(usage: c.ChatUsage) -> r.ResponseUsage:
    prompt, completion = usage.prompt_tokens or 0, completion_tokens(usage)
    read = usage.prompt_tokens_details or c.ChatPromptTokensDetails()
    made = usage.completion_tokens_details or c.ChatCompletionTokensDetails()
    return r.ResponseUsage(
        input_tokens=prompt,
        input_tokens_details=r.ResponseInputTokensDetails(
            cached_tokens=token_count(read.cached_tokens) or 0,
            cache_write_tokens=token_count(read.cache_write_tokens) or 0,
        ),
        output_tokens=completion,
        output_tokens_details=r.ResponseOutputTokensDetails(reasoning_tokens=token_count(made.reasoning_tokens) or 0),
        total_tokens=usage.total_tokens or prompt + completion,
    )
