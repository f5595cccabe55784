"""Translates an answer: Response to Chat Completions, by the rules of `RESPONSE_TO_CHAT`."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct
from msgspec.structs import replace

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, describe_decoding_error
from batchgate.engine.model.errors import NoUpstreamAnswer, Untranslatable
from batchgate.providers.dialects.answer_images import images_field
from batchgate.providers.dialects.completion import unusable_answer
from batchgate.providers.dialects.finish_reasons import classify_finish
from batchgate.providers.dialects.lenient_decoding import decode_answer
from batchgate.providers.dialects.response_status import failure_text, is_failed, is_unfinished
from batchgate.providers.dialects.tool_arguments import arguments_text
from batchgate.providers.dialects.tool_call_ids import made_up_call_id
from batchgate_api import chat_completions as c
from batchgate_api import responses as r

_KIND: Final = msgspec.json.Decoder(r.ResponsesKind)
_MESSAGE: Final = msgspec.json.Decoder(r.ResponseMessage)
_REASONING: Final = msgspec.json.Decoder(r.ResponseReasoning)
_FUNCTION_CALL: Final = msgspec.json.Decoder(r.ResponseFunctionCall)
_CUSTOM_CALL: Final = msgspec.json.Decoder(r.ResponseCustomToolCall)
_NULL: Final = Raw(b"null")


def response_to_completion(
    response: r.Response, *, model: str, custom_id: str, created: int, call_id_seed: bytes = b""
) -> c.ChatCompletion:
    """Translate a Response to a completion with one choice.

    ``model``, ``custom_id`` and ``created`` (Unix seconds) are defaults for fields that the server left out. Calls
    without an id get one that is made of ``call_id_seed``. Raises `NoUpstreamAnswer` for a Response that failed or is
    invalid, and `Untranslatable` for items of OpenAI's built-in tools, which translated requests never use.
    """
    if is_failed(response.status or None) or response.error:
        raise _failure(response)
    if is_unfinished(response.status or None):
        raise unusable_answer(f"the response is not finished (status {response.status!r})")
    output = _read_output(response, call_id_seed)
    return c.ChatCompletion(
        id=response.id or f"chatcmpl-{custom_id}",
        object="chat.completion",
        created=int(response.created_at or created),
        model=response.model or model,
        choices=[
            c.ChatChoice(
                index=0,
                message=_message(output),
                finish_reason=_finish_reason(response, output),
                logprobs=output.logprobs,
            )
        ],
        usage=_usage(response.usage or r.ResponseUsage()),
        service_tier=response.service_tier or UNSET,
    )


def _failure(response: r.Response) -> NoUpstreamAnswer:
    error = response.error or r.ResponseFailure()
    message = failure_text(error.code, error.message)
    return NoUpstreamAnswer("api_error", message, status=200, retry_safe=error.code == "server_error")


class _Output(Struct):
    """The content of all output items, by the field of a Chat Completion message."""

    reasoning: list[str]
    texts: list[str]
    refusals: list[str]
    calls: list[c.ChatToolCall]
    images: list[str]
    logprobs: Raw = _NULL


class _GeneratedImage(Struct, frozen=True):
    """An output item of Responses that spec/responses.yaml does not have, as no translated request asks for it."""

    result: str
    output_format: str = "png"


_GENERATED_IMAGE: Final = msgspec.json.Decoder(_GeneratedImage)


def _read_output(response: r.Response, call_id_seed: bytes) -> _Output:
    output = _Output([], [], [], [], [])
    for index, raw in enumerate(response.output):
        try:
            _read_item(raw, output, f"output.{index}")
        except DECODING_ERRORS as error:
            problem = describe_decoding_error(error)
            raise unusable_answer(f"an item does not match its type (output.{index}: {problem})") from error
    output.calls = [
        call if call.id else replace(call, id=made_up_call_id(call_id_seed, index))
        for index, call in enumerate(output.calls)
    ]
    return output


def _read_item(raw: Raw, output: _Output, path: str) -> None:
    match _KIND.decode(raw).type:
        case "message":
            for part in decode_answer(_MESSAGE, raw).content:
                _read_part(part, output)
        case "reasoning":
            output.reasoning.extend(_reasoning_texts(decode_answer(_REASONING, raw)))
        case "function_call":
            output.calls.append(_function_call(decode_answer(_FUNCTION_CALL, raw)))
        case "custom_tool_call":
            output.calls.append(_custom_call(decode_answer(_CUSTOM_CALL, raw)))
        case "image_generation_call":
            image = _GENERATED_IMAGE.decode(raw)
            output.images.append(f"data:image/{image.output_format};base64,{image.result}")
        case other:
            reason = f"{other} items cannot be translated to Chat Completions; read the results as Responses"
            raise Untranslatable(path, reason)


def _read_part(part: r.ResponseMessagePart, output: _Output) -> None:
    match part.type:
        case "output_text":
            output.texts.append(part.text or "")
            if part.logprobs and bytes(part.logprobs) not in {b"null", b"[]"} and output.logprobs == _NULL:
                output.logprobs = Raw(b'{"content":%s,"refusal":null}' % bytes(part.logprobs))
        case "refusal":
            output.refusals.append(part.refusal or "")
        case other:
            raise unusable_answer(f"Chat Completions has no equivalent of a part of the type {other!r}")


def _reasoning_texts(item: r.ResponseReasoning) -> list[str]:
    return [thought.text for thought in item.content or item.summary or ()]


def _function_call(item: r.ResponseFunctionCall) -> c.ChatToolCall:
    arguments = Raw(msgspec.json.encode(arguments_text(Raw(msgspec.json.encode(item.arguments)))))
    function = c.ChatCalledFunction(name=item.name, arguments=arguments)
    return c.ChatToolCall(id=item.call_id, type="function", function=function)


def _custom_call(item: r.ResponseCustomToolCall) -> c.ChatToolCall:
    custom = Raw(msgspec.json.encode({"name": item.name, "input": item.input}))
    return c.ChatToolCall(id=item.call_id, type="custom", custom=custom)


def _message(output: _Output) -> c.ChatMessage:
    content = "".join(output.texts)
    return c.ChatMessage(
        role="assistant",
        content=content or (None if output.calls or output.refusals else ""),
        images=images_field(output.images) if output.images else UNSET,
        refusal="".join(output.refusals) or None,
        reasoning_content="\n".join(output.reasoning) or UNSET,
        tool_calls=output.calls or UNSET,
    )


def _finish_reason(response: r.Response, output: _Output) -> str:
    if response.status == "incomplete" or response.incomplete_details:
        reason = response.incomplete_details.reason if response.incomplete_details else None
        return "content_filter" if classify_finish(reason or None) == "filtered" else "length"
    return "tool_calls" if output.calls else "stop"


def _usage(usage: r.ResponseUsage) -> c.ChatUsage:
    prompt, completion = usage.input_tokens or 0, usage.output_tokens or 0
    read = usage.input_tokens_details or r.ResponseInputTokensDetails()
    made = usage.output_tokens_details or r.ResponseOutputTokensDetails()
    return c.ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=usage.total_tokens or prompt + completion,
        prompt_tokens_details=c.ChatPromptTokensDetails(
            cached_tokens=read.cached_tokens, cache_write_tokens=read.cache_write_tokens
        ),
        completion_tokens_details=c.ChatCompletionTokensDetails(reasoning_tokens=made.reasoning_tokens),
    )
