"""Translates an answer: Converse to Chat Completions, by the rules of `CONVERSE_TO_COMPLETION`.

Converse's answers have neither an id, nor a time, nor a model: those of the request are used.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.providers.dialects.answer_images import images_field
from batchgate.providers.dialects.completion import unusable_answer
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.dialects.tool_arguments import input_text
from batchgate.providers.dialects.tool_call_ids import made_up_call_id
from batchgate.providers.dialects.tool_names import restore_tool_name
from batchgate_api import chat_completions as c
from batchgate_api import converse as v

SERVER_TOOL: Final = "server_tool_use"
"""The type of the call of a tool that Bedrock runs itself."""

_FINISH_REASONS: Final[dict[FinishClass, str]] = {
    "stopped": "stop",
    "cut_off": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
}

_NULL: Final = Raw(b"null")
_NO_USAGE: Final = v.ConverseUsage()


def converse_to_completion(
    answer: v.ConverseResponse, *, model: str, custom_id: str, created: int, call_id_seed: bytes = b""
) -> c.ChatCompletion:
    """Translate a Converse answer to a completion with one choice; ``created`` is its time in Unix seconds.

    Calls without an id get one that is made of ``call_id_seed``. Raises `NoUpstreamAnswer` for a block that Chat
    Completions cannot represent.
    """
    message = _chat_message(answer.output.message, call_id_seed)
    return c.ChatCompletion(
        id=f"chatcmpl-{custom_id}",
        object="chat.completion",
        created=created,
        model=model,
        choices=[
            c.ChatChoice(
                index=0,
                message=message,
                finish_reason=_FINISH_REASONS.get(classify_finish(answer.stopReason or None)) or answer.stopReason,
                logprobs=_NULL,
            )
        ],
        usage=_usage(answer.usage or _NO_USAGE),
        service_tier=(answer.serviceTier.type if answer.serviceTier else None) or UNSET,
    )


def _chat_message(message: v.ConverseAnswer, call_id_seed: bytes) -> c.ChatMessage:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[c.ChatToolCall] = []
    images: list[str] = []
    for index, block in enumerate(message.content):
        if block.text is not UNSET and block.text is not None:
            texts.append(block.text)
        elif block.reasoningContent:
            thoughts.append(_reasoning(block.reasoningContent))
        elif block.toolUse:
            calls.append(
                _tool_call(block.toolUse, block.toolUse.toolUseId or made_up_call_id(call_id_seed, len(calls)))
            )
        elif block.citationsContent:
            texts.extend(cited.text or "" for cited in block.citationsContent.content or ())
        elif block.image:
            images.append(_image_url(block.image))
        else:
            raise unusable_answer(f"Chat Completions has no equivalent of the block content.{index}")
    content = "".join(texts)
    return c.ChatMessage(
        role="assistant",
        content=content or (None if calls or images else ""),
        refusal=None,
        reasoning_content="\n".join(filter(None, thoughts)) or UNSET,
        tool_calls=calls or UNSET,
        images=images_field(images) if images else UNSET,
    )


def _reasoning(reasoning: v.ConverseAnswerReasoning) -> str:
    return (reasoning.reasoningText.text or "") if reasoning.reasoningText else ""


def _tool_call(called: v.ConverseCalledTool, call_id: str) -> c.ChatToolCall:
    if called.type == SERVER_TOOL:
        raise unusable_answer(f"Chat Completions has no calls of Bedrock's own tools ({called.name})")
    text = "{}" if isinstance(called.input, UnsetType) else input_text(called.input)
    function = c.ChatCalledFunction(name=restore_tool_name(called.name), arguments=Raw(msgspec.json.encode(text)))
    return c.ChatToolCall(id=call_id, type="function", function=function)


def _image_url(image: v.ConverseAnswerImage) -> str:
    data = (image.source.bytes or "") if image.source else ""
    return f"data:image/{image.format or 'png'};base64,{data}"


def _usage(usage: v.ConverseUsage) -> c.ChatUsage:
    """Translate the usage; OpenAI counts cached input as part of the prompt, Bedrock does not."""
    read, written = usage.cacheReadInputTokens or 0, usage.cacheWriteInputTokens or 0
    prompt, output = (usage.inputTokens or 0) + read + written, usage.outputTokens or 0
    return c.ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=output,
        total_tokens=prompt + output,
        prompt_tokens_details=c.ChatPromptTokensDetails(cached_tokens=read, cache_write_tokens=written),
    )
