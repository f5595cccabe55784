"""Classes the words that servers use for how an answer ended: one table for every server and dialect.

Words are compared without case; ``FINISH_REASON_MAX_TOKENS``, ``max-tokens`` and ``maxTokens`` are ``max_tokens``. A
word that is not in the table is classed by the fragments in it, such as ``error``. A word without such a fragment is
unknown.
"""

from __future__ import annotations

import re
from typing import Final, Literal, TypeAlias

FinishClass: TypeAlias = Literal["stopped", "cut_off", "tool_calls", "filtered", "broken_off", "unknown"]
"""How an answer ended.

``stopped``: the model finished. ``cut_off``: a token limit ended the answer. ``tool_calls``: the model waits for tools.
``filtered``: a content filter or the model refused. ``broken_off``: the server failed, so another try may succeed.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FINISH_WORDS: Final[dict[FinishClass, frozenset[str]]] = {
    "stopped": _words(
        """
        stop stopped eos eos_token eos_found end_turn stop_sequence stop_sequences stop_string stop_str
        stop_token stop_criteria_met stop_id stop_words stop_word word end_id eot eot_id eom_id complete completed
        finish finished done end endoftext normal success
        """
    ),
    "cut_off": _words(
        """
        length max_tokens max_token max_length model_length max_output_tokens max_completion_tokens
        max_new_tokens max_output_length max_tokens_reached token_limit token_limit_reached
        context context_length context_length_exceeded model_context_window_exceeded context_window_exceeded
        max_len max_context error_limit incomplete truncated pause_turn compaction continuation too_many_tool_calls
        repetition repetition_detected maxtokens too_long out_of_tokens budget_exceeded
        """
    ),
    "tool_calls": _words(
        """
        tool_calls tool_call tool_use function_call function_calls tool function
        """
    ),
    "filtered": _words(
        """
        content_filter content_filtered refusal refused safety recitation blocklist prohibited_content
        spii language image_safety image_prohibited_content image_recitation model_armor sensitive
        guardrail guardrail_intervened guardrails moderation blocked flagged policy_violation
        error_toxic escalation pup_limited_disabled
        """
    ),
    "broken_off": _words(
        """
        error abort aborted cancel canceled cancelled failed failure user_cancel
        insufficient_system_resource network_error timeout timed_out time_out server_error
        internal_error internal_server_error connection_error disconnected overloaded preempted evicted
        unavailable service_unavailable not_finished malformed_function_call malformed_response unexpected_tool_call
        preempt no_image image_other
        """
    ),
    "unknown": frozenset(),
}
"""The known words by class: OpenAI, Anthropic, Mistral, Cohere, Gemini, DeepSeek, Z.AI, OpenRouter, Bedrock, watsonx,
TGI, vLLM, SGLang, llama.cpp, TensorRT-LLM, xAI."""

_CLASSES: Final[dict[str, FinishClass]] = {word: kind for kind, words in FINISH_WORDS.items() for word in words}

_FRAGMENTS: Final[tuple[tuple[re.Pattern[str], FinishClass], ...]] = (
    (
        re.compile(
            "error|fail|abort|cancel|time_?out|rate_limit|unavailable|overload|interrupt|insufficient|malformed"
        ),
        "broken_off",
    ),
    (re.compile("filter|safety|policy|moderat|sensitive|guardrail|blocked|prohibited"), "filtered"),
    (re.compile("length|max_|limit|truncat|context_window"), "cut_off"),
    (re.compile("tool|function"), "tool_calls"),
)
"""Fragments of words that are not in the table, tried in this order."""

_WORD_START: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PREFIX: Final = re.compile(r"^(?:finish_?|stop_?)?reason[._:]")
_NO_WORDS: Final = frozenset({"", "null", "none", "unspecified"})


def normalize_finish_reason(word: str) -> str:
    """Return a word in lower case with underscores, without the name of its enum."""
    separated = re.sub(r"[\s\-]+", "_", _WORD_START.sub("_", word.strip()))
    return _PREFIX.sub("", separated.casefold())


def classify_finish(word: str | None) -> FinishClass:
    """Return the class of a finish reason; a server that sends none, or a word for none, has finished."""
    if found := _CLASSES.get(word or ""):
        return found
    normalized = normalize_finish_reason(word or "")
    if normalized in _NO_WORDS:
        return "stopped"
    if found := _CLASSES.get(normalized):
        return found
    return next((kind for pattern, kind in _FRAGMENTS if pattern.search(normalized)), "unknown")
