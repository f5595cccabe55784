"""Translates an answer: Chat Completions to generateContent, by the rules of `CHAT_TO_GEMINI_ANSWER`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, assert_never

from msgspec import UNSET

from batchgate.providers.dialects.answer_images import base64_image, markdown_image
from batchgate.providers.dialects.completion import (
    AnswerCall,
    AnswerPart,
    completion_tokens,
    first_choice,
    message_calls,
    message_parts,
    token_count,
)
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.dialects.tool_arguments import arguments_object
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

_FINISH_REASONS: Final[dict[FinishClass, str]] = {
    "stopped": "STOP",
    "tool_calls": "STOP",
    "cut_off": "MAX_TOKENS",
    "filtered": "SAFETY",
    "unknown": "STOP",
}
_NO_USAGE: Final = c.ChatUsage()
_NO_PROMPT: Final = c.ChatPromptTokensDetails()
_NO_COMPLETION: Final = c.ChatCompletionTokensDetails()


def completion_to_gemini(
    completion: c.ChatCompletion, *, model: str, custom_id: str, call_id_seed: bytes = b""
) -> g.GeminiAnswer:
    """Translate the first choice of a completion to an answer of generateContent.

    ``model`` and ``custom_id`` of the request are defaults for servers that leave out the model or the id. Calls
    without an id get one that is made of ``call_id_seed``. Raises `NoUpstreamAnswer` for an invalid answer.
    """
    choice = first_choice(completion)
    parts = [*_parts(choice, call_id_seed)]
    kind = classify_finish(choice.finish_reason or None)
    candidate = g.GeminiCandidate(
        content=g.GeminiAnswerContent(role="model", parts=parts),
        finishReason="SAFETY" if choice.message.refusal else _FINISH_REASONS[kind],
        finishMessage=choice.finish_reason or UNSET if kind == "unknown" else UNSET,
        index=0,
    )
    return g.GeminiAnswer(
        candidates=[candidate],
        usageMetadata=_usage(completion.usage or _NO_USAGE),
        modelVersion=completion.model or model,
        responseId=completion.id or custom_id,
    )


def _parts(choice: c.ChatChoice, call_id_seed: bytes) -> Iterator[g.GeminiAnswerPart]:
    yield from map(_part, message_parts(choice.message, "Gemini"))
    yield from map(_call, message_calls(choice.message, call_id_seed))


def _part(part: AnswerPart) -> g.GeminiAnswerPart:
    match part.kind:
        case "text":
            return g.GeminiAnswerPart(text=part.text)
        case "thinking":
            return g.GeminiAnswerPart(text=part.text, thought=True)
        case "image":
            return _image(part.text)
        case _:
            assert_never(part.kind)


def _image(url: str) -> g.GeminiAnswerPart:
    found = base64_image(url)
    if found is None:
        return g.GeminiAnswerPart(text=markdown_image(url))
    kind, data = found
    return g.GeminiAnswerPart(inlineData=g.GeminiAnswerBlob(mimeType=f"image/{kind}", data=data))


def _call(call: AnswerCall) -> g.GeminiAnswerPart:
    args = arguments_object(call.function.arguments)
    called = g.GeminiAnswerFunctionCall(id=call.id, name=call.function.name, args=args)
    return g.GeminiAnswerPart(functionCall=called, thoughtSignature=call.signature or UNSET)


def _usage(usage: c.ChatUsage) -> g.GeminiUsage:
    prompt, completion = usage.prompt_tokens or 0, completion_tokens(usage)
    cached = token_count((usage.prompt_tokens_details or _NO_PROMPT).cached_tokens)
    thoughts = token_count((usage.completion_tokens_details or _NO_COMPLETION).reasoning_tokens) or 0
    return g.GeminiUsage(
        promptTokenCount=prompt,
        cachedContentTokenCount=cached or UNSET,
        candidatesTokenCount=max(0, completion - thoughts),
        thoughtsTokenCount=thoughts or UNSET,
        totalTokenCount=usage.total_tokens or prompt + completion,
    )
