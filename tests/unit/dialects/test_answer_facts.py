"""What answers say about themselves is read from every dialect, and nothing from what is no answer."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from batchgate.engine.model.answer_facts import AnswerFacts
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.model.usage import Usage
from batchgate.providers.dialects.line_translator import DialectLineTranslator

USED = Usage(input_tokens=3, output_tokens=2)
TOKENS = {"input_tokens": 3, "output_tokens": 2}
CHAT_TOKENS = {"prompt_tokens": 3, "completion_tokens": 2}
GEMINI_TOKENS = {"promptTokenCount": 3, "candidatesTokenCount": 2, "totalTokenCount": 5}
ANSWERS: list[tuple[RowKind, dict[str, Any], AnswerFacts]] = [
    (
        "messages",
        {"model": "m-1", "stop_reason": "end_turn", "usage": TOKENS},
        AnswerFacts(model="m-1", finish_reasons=("end_turn",), usage=USED),
    ),
    (
        "chat_completions",
        {"model": "m-1", "choices": [{"finish_reason": "stop"}, {"finish_reason": "length"}], "usage": CHAT_TOKENS},
        AnswerFacts(model="m-1", finish_reasons=("stop", "length"), usage=USED),
    ),
    (
        "responses",
        {"model": "m-1", "status": "incomplete", "usage": TOKENS},
        AnswerFacts(model="m-1", finish_reasons=("incomplete",), usage=USED),
    ),
    (
        "generate_content",
        {"modelVersion": "m-1", "candidates": [{"finishReason": "STOP"}], "usageMetadata": GEMINI_TOKENS},
        AnswerFacts(model="m-1", finish_reasons=("STOP",), usage=USED),
    ),
    (
        "converse",
        {"stopReason": "max_tokens", "usage": {"inputTokens": 3, "outputTokens": 2}},
        AnswerFacts(finish_reasons=("max_tokens",), usage=USED),
    ),
    ("chat_completions", {"model": 7, "choices": "none", "usage": None}, AnswerFacts()),
    ("chat_completions", {"choices": [None, {"finish_reason": None}]}, AnswerFacts()),
    ("responses", {"status": 1}, AnswerFacts()),
]


@pytest.mark.parametrize(("kind", "answer", "facts"), ANSWERS)
def test_an_answer_says_which_model_gave_it_why_it_stopped_and_what_it_used(
    kind: RowKind, answer: dict[str, Any], facts: AnswerFacts
) -> None:
    assert DialectLineTranslator().facts(kind, msgspec.json.encode(answer)) == facts


@pytest.mark.parametrize("answer", [b"", b"[]", b"\xff", b'"text"'])
def test_what_is_no_json_object_says_nothing(answer: bytes) -> None:
    assert DialectLineTranslator().facts("messages", answer) == AnswerFacts()
