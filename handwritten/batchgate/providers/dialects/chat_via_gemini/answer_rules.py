"""Rules that translate an answer of generateContent to Chat Completions, one rule for each field of each model."""

from __future__ import annotations

from typing import Final

from batchgate.providers.dialects.rules import (
    Ignored,
    Mapped,
    Rejected,
    RejectedFields,
    Rule,
    field_rules,
)
from batchgate_api import gemini as g

_NO_FIELD: Final = Ignored("Chat Completions has no such field")
_NEVER_REQUESTED: Final = Ignored("translated requests never ask for it")
_GOOGLE_TOOL: Final = Rejected(
    "output of Google's own tools cannot be translated to Chat Completions; send a row of generateContent"
)

GEMINI_TO_COMPLETION: Final[tuple[Rule, ...]] = (
    *field_rules(
        g.GeminiAnswer,
        candidates=Mapped("choices; one without content, with finish_reason content_filter, for a blocked prompt"),
        promptFeedback=Mapped("finish_reason content_filter, if there are no candidates"),
        usageMetadata=Mapped("usage"),
        modelVersion=Mapped("model; the requested one if the server sends none"),
        responseId=Mapped("id; chatcmpl- and the custom_id if the server sends none"),
        createTime=_NO_FIELD,
        modelStatus=_NO_FIELD,
    ),
    *field_rules(
        g.GeminiCandidate,
        content=Mapped("message"),
        finishReason=Mapped(
            "finish_reason, by the table of [endings](answers.md#how-an-answer-ended); STOP is tool_calls if there are "
            "calls; a malformed call or answer is an error that is retried"
        ),
        finishMessage=_NO_FIELD,
        index=Mapped("index"),
        tokenCount=_NO_FIELD,
        safetyRatings=_NO_FIELD,
        citationMetadata=_NO_FIELD,
        groundingMetadata=_NEVER_REQUESTED,
        urlContextMetadata=_NEVER_REQUESTED,
        avgLogprobs=_NO_FIELD,
        logprobsResult=Mapped("logprobs.content"),
        continuationToken=Ignored("the answer ends with finish_reason length, and is not continued"),
    ),
    *field_rules(
        g.GeminiAnswerContent,
        role=Mapped("role assistant"),
        parts=Mapped("content, reasoning_content, tool_calls and images; absent parts are an empty text"),
    ),
    *field_rules(
        g.GeminiAnswerPart,
        text=Mapped("content, joined with the other texts; reasoning_content for thoughts"),
        thought=Mapped("reasoning_content instead of content"),
        thoughtSignature=Mapped("extra_content.google.thought_signature of a tool call; left out at other parts"),
        inlineData=Mapped("images, as data URLs, as OpenRouter has them; other files are an error"),
        functionCall=Mapped("tool_calls"),
        fileData=_GOOGLE_TOOL,
        executableCode=_GOOGLE_TOOL,
        codeExecutionResult=_GOOGLE_TOOL,
        toolCall=_GOOGLE_TOOL,
        toolResponse=_GOOGLE_TOOL,
    ),
    *field_rules(g.GeminiAnswerBlob, mimeType=Mapped("a data URL"), data=Mapped("a data URL")),
    *field_rules(
        g.GeminiAnswerFunctionCall,
        id=Mapped("id; call_ and a unique hash if the server sends none"),
        name=Mapped("function.name"),
        args=Mapped("function.arguments, as text"),
    ),
    *field_rules(
        g.GeminiPromptFeedback,
        blockReason=Mapped("finish_reason content_filter"),
        blockReasonMessage=_NO_FIELD,
        safetyRatings=_NO_FIELD,
    ),
    *field_rules(
        g.GeminiLogprobs,
        chosenCandidates=Mapped("logprobs.content"),
        topCandidates=Mapped("top_logprobs of each token"),
        logProbabilitySum=_NO_FIELD,
    ),
    *field_rules(g.GeminiTopLogprobs, candidates=Mapped("top_logprobs")),
    *field_rules(
        g.GeminiTokenLogprob, token=Mapped("token and bytes"), tokenId=_NO_FIELD, logProbability=Mapped("logprob")
    ),
    *field_rules(
        g.GeminiUsage,
        promptTokenCount=Mapped("part of prompt_tokens"),
        cachedContentTokenCount=Mapped("prompt_tokens_details.cached_tokens"),
        candidatesTokenCount=Mapped("part of completion_tokens"),
        thoughtsTokenCount=Mapped("part of completion_tokens; completion_tokens_details.reasoning_tokens"),
        toolUsePromptTokenCount=Mapped("part of prompt_tokens"),
        totalTokenCount=Mapped(
            "total_tokens; if it is the sum without the thoughts, the server counts them as candidates"
        ),
        promptTokensDetails=_NO_FIELD,
        candidatesTokensDetails=_NO_FIELD,
        cacheTokensDetails=_NO_FIELD,
        toolUsePromptTokensDetails=_NO_FIELD,
        trafficType=_NO_FIELD,
        serviceTier=_NO_FIELD,
    ),
)
"""Every field of every model of an answer of generateContent and its translation to Chat Completions."""

REJECTED: Final = RejectedFields(GEMINI_TO_COMPLETION)
"""The fields that `GEMINI_TO_COMPLETION` rejects."""
