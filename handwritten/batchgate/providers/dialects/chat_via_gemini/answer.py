"""Translates an answer: generateContent to Chat Completions, by the rules of `GEMINI_TO_COMPLETION`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.providers.dialects.answer_images import images_field
from batchgate.providers.dialects.chat_via_gemini.answer_rules import REJECTED
from batchgate.providers.dialects.completion import broken_off_answer, unusable_answer
from batchgate.providers.dialects.data_urls import DataUrl
from batchgate.providers.dialects.finish_reasons import FinishClass, classify_finish
from batchgate.providers.dialects.gemini_decoding import standard_base64
from batchgate.providers.dialects.gemini_usage import GeminiTokens
from batchgate.providers.dialects.tool_arguments import arguments_text
from batchgate.providers.dialects.tool_call_ids import made_up_call_id
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

_FINISH_REASONS: Final[dict[FinishClass, str]] = {
    "stopped": "stop",
    "cut_off": "length",
    "tool_calls": "tool_calls",
    "filtered": "content_filter",
}

_NULL: Final = Raw(b"null")
_NO_ID: Final = frozenset({"", "null"})


def gemini_to_completion(
    answer: g.GeminiAnswer, *, model: str, custom_id: str, created: int, call_id_seed: bytes = b""
) -> c.ChatCompletion:
    """Translate an answer to a completion with one choice for each candidate.

    ``model``, ``custom_id`` and ``created`` (Unix seconds) are defaults for fields that the server left out. Calls
    without an id get one that is made of ``call_id_seed``. Raises `NoUpstreamAnswer` for an invalid answer, and
    `Untranslatable` for output of Google's own tools, which translated requests never use.
    """
    return c.ChatCompletion(
        id=answer.responseId or f"chatcmpl-{custom_id}",
        object="chat.completion",
        created=created,
        model=answer.modelVersion or model,
        choices=_choices(answer, call_id_seed),
        usage=_usage(answer.usageMetadata or g.GeminiUsage()),
    )


def _choices(answer: g.GeminiAnswer, call_id_seed: bytes) -> list[c.ChatChoice]:
    if answer.candidates:
        calls = _CallIds(call_id_seed)
        return [_choice(candidate, index, calls) for index, candidate in enumerate(answer.candidates)]
    if not (answer.promptFeedback and answer.promptFeedback.blockReason):
        raise unusable_answer("it has no candidates")
    message = c.ChatMessage(role="assistant", content=None, refusal=None)
    return [c.ChatChoice(index=0, message=message, finish_reason="content_filter", logprobs=_NULL)]


class _CallIds:
    """Gives ids to calls that have none, each once in an answer."""

    def __init__(self, seed: bytes) -> None:
        self._seed = seed
        self._made = 0

    def of(self, call: g.GeminiAnswerFunctionCall) -> str:
        """Return the id of a call; some servers write the word null for none."""
        if call.id and call.id not in _NO_ID:
            return call.id
        self._made += 1
        return made_up_call_id(self._seed, self._made - 1)


class _Said(Struct):
    """The content of all parts, by the field of a Chat Completion message."""

    texts: list[str]
    thoughts: list[str]
    calls: list[c.ChatToolCall]
    images: list[str]


def _choice(candidate: g.GeminiCandidate, index: int, calls: _CallIds) -> c.ChatChoice:
    said = _Said([], [], [], [])
    parts = candidate.content.parts if candidate.content else None
    for position, part in enumerate(parts or ()):
        _read_part(part, said, calls, f"candidates.{index}.content.parts.{position}")
    return c.ChatChoice(
        index=candidate.index or index,
        message=_message(said, filtered=classify_finish(candidate.finishReason or None) == "filtered"),
        finish_reason=_finish_reason(candidate, said),
        logprobs=_logprobs(candidate.logprobsResult or None),
    )


def _read_part(part: g.GeminiAnswerPart, said: _Said, calls: _CallIds, path: str) -> None:
    REJECTED.check(part, path)
    if part.text:
        (said.thoughts if part.thought else said.texts).append(part.text)
    if part.functionCall:
        said.calls.append(_tool_call(part.functionCall, calls, part.thoughtSignature or None))
    if part.inlineData and not part.thought:
        said.images.append(_image(part.inlineData))


def _image(blob: g.GeminiAnswerBlob) -> str:
    media_type = blob.mimeType or "image/png"
    if not media_type.startswith("image/"):
        raise unusable_answer(f"Chat Completions has no equivalent of a file of the type {media_type!r}")
    return str(DataUrl(media_type, standard_base64(blob.data)))


def _tool_call(call: g.GeminiAnswerFunctionCall, calls: _CallIds, signature: str | None) -> c.ChatToolCall:
    if not call.name:
        raise unusable_answer("it has a function call without a name")
    arguments = Raw(msgspec.json.encode(arguments_text(call.args)))
    google = c.ChatGoogleContent(thought_signature=signature)
    return c.ChatToolCall(
        id=calls.of(call),
        type="function",
        function=c.ChatCalledFunction(name=call.name, arguments=arguments),
        extra_content=c.ChatExtraContent(google=google) if signature else UNSET,
    )


def _message(said: _Said, *, filtered: bool) -> c.ChatMessage:
    content = "".join(said.texts)
    return c.ChatMessage(
        role="assistant",
        content=content or (None if said.calls or filtered else ""),
        images=images_field(said.images) if said.images else UNSET,
        refusal=None,
        reasoning_content="\n".join(said.thoughts) or UNSET,
        tool_calls=said.calls or UNSET,
    )


def _finish_reason(candidate: g.GeminiCandidate, said: _Said) -> str:
    """Return the finish reason; an unknown word stays, unless the answer has nothing else."""
    word = candidate.finishReason or None
    kind = classify_finish(word)
    empty = not (said.texts or said.calls or said.images)
    if kind == "broken_off" or (kind == "unknown" and empty):
        raise broken_off_answer(f"finishReason {word!r}")
    if kind == "stopped" and said.calls:
        return "tool_calls"
    return _FINISH_REASONS.get(kind) or word or "stop"


# ---------------------------------------------------------------- log probabilities


class _Logprob(Struct, frozen=True):
    token: str
    logprob: float
    bytes: list[int]


class _TokenLogprob(_Logprob, frozen=True):
    top_logprobs: list[_Logprob]


def _logprobs(found: g.GeminiLogprobs | None) -> Raw:
    if found is None or not found.chosenCandidates:
        return _NULL
    tops = found.topCandidates or []
    content = [
        _TokenLogprob(*_fields(token), [_Logprob(*_fields(top)) for top in _candidates(tops, index)])
        for index, token in enumerate(found.chosenCandidates)
    ]
    return Raw(msgspec.json.encode({"content": content, "refusal": None}))


def _candidates(tops: Sequence[g.GeminiTopLogprobs], index: int) -> Sequence[g.GeminiTokenLogprob]:
    return (tops[index].candidates or ()) if index < len(tops) else ()


def _fields(token: g.GeminiTokenLogprob) -> tuple[str, float, list[int]]:
    text = token.token or ""
    return text, token.logProbability or 0.0, [*text.encode(errors="surrogatepass")]


# ---------------------------------------------------------------- usage


def gemini_tokens(usage: g.GeminiUsage) -> GeminiTokens:
    """Return the counts, with zero for absent ones."""
    return GeminiTokens(
        prompt=_count(usage.promptTokenCount),
        cached=_count(usage.cachedContentTokenCount),
        candidates=_count(usage.candidatesTokenCount),
        thoughts=_count(usage.thoughtsTokenCount),
        tools=_count(usage.toolUsePromptTokenCount),
        total=_count(usage.totalTokenCount),
    )


def _count(count: int | UnsetType | None) -> int:
    return count or 0


def _usage(usage: g.GeminiUsage) -> c.ChatUsage:
    tokens = gemini_tokens(usage)
    return c.ChatUsage(
        prompt_tokens=tokens.input,
        completion_tokens=tokens.output,
        total_tokens=tokens.total or tokens.input + tokens.output,
        prompt_tokens_details=c.ChatPromptTokensDetails(cached_tokens=tokens.cached),
        completion_tokens_details=c.ChatCompletionTokensDetails(reasoning_tokens=tokens.thoughts),
    )
