"""What requests of Gemini say elsewhere, what Gemini says of other requests, and what is refused by name."""

from __future__ import annotations

import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.registry.known_servers import OPENAI
from tests.unit.dialects.openai_rows import (
    USER,
    Json,
    answered,
    chat,
    gemini_answer,
    generate,
    to_gemini,
    translate,
)


def to_chat(answer: Json) -> Json:
    return answered(answer, "generate_content", "chat_completions")


# ---------------------------------------------------------------- what callers write


def test_both_spellings_and_both_alphabets_are_read() -> None:
    row = {
        "model": "m",
        "system_instruction": {"parts": [{"text": "s"}]},
        "contents": [{"parts": [{"inline_data": {"mime_type": "image/png", "data": "_-8"}}]}],
        "generation_config": {"max_output_tokens": "9", "thinking_config": {"thinking_budget": 512}},
    }
    there = translate(row, "generate_content", "chat_completions")
    assert there["messages"][0] == {"role": "system", "content": "s"}
    assert there["messages"][1]["content"][0]["image_url"]["url"] == "data:image/png;base64,/+8="
    assert (there["max_completion_tokens"], there["thinking_token_budget"]) == (9, 512)


@pytest.mark.parametrize("threshold", ["BLOCK_NONE", "OFF", None])
def test_filters_that_are_off_are_left_out(threshold: str | None) -> None:
    setting = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": threshold}
    row = generate(safetySettings=[setting])
    assert translate(row, "generate_content", "messages") == translate(generate(), "generate_content", "messages")


@pytest.mark.parametrize("threshold", ["BLOCK_LOW_AND_ABOVE", "BLOCK_MEDIUM_AND_ABOVE", "BLOCK_ONLY_HIGH"])
def test_filters_that_block_are_refused_by_name(threshold: str) -> None:
    row = generate(safetySettings=[{"category": "HARM_CATEGORY_HARASSMENT", "threshold": threshold}])
    with pytest.raises(Untranslatable, match=r"^safetySettings.0.threshold: "):
        translate(row, "generate_content", "chat_completions")


@pytest.mark.parametrize(
    ("effort", "model", "config"),
    [
        ("none", "gemini-2.5-flash", {"thinkingBudget": 0}),
        ("medium", "gemini-2.5-flash", {"thinkingBudget": 8192}),
        ("medium", "gemini-3-pro", {"thinkingLevel": "MEDIUM"}),
        ("xhigh", "gemini-flash-latest", {"thinkingLevel": "XHIGH"}),
    ],
)
def test_an_effort_is_a_level_from_gemini_3_on_and_a_budget_before(effort: str, model: str, config: Json) -> None:
    there = to_gemini(chat(reasoning_effort=effort), model)
    assert there["generationConfig"]["thinkingConfig"] == config


@pytest.mark.parametrize(
    ("row", "path"),
    [
        (chat(reasoning_effort="max"), "reasoning_effort"),
        (chat(thinking_token_budget=5, reasoning_effort="low"), "thinking_token_budget"),
        (chat(service_tier="scale"), "service_tier"),
        (
            chat(tools=[{"type": "function", "function": {"name": "f"}}], parallel_tool_calls=False),
            "parallel_tool_calls",
        ),
        (chat(add_generation_prompt=False), "add_generation_prompt"),
        (chat(messages=[USER, {"role": "system", "content": "s"}]), "messages.1"),
        (chat(max_tokens=1, max_completion_tokens=2), "max_tokens"),
    ],
)
def test_what_gemini_cannot_say_is_refused_by_name(row: Json, path: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_gemini(row)
    assert caught.value.field == path


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"generationConfig": {"topK": 4}}, "generationConfig.topK"),
        ({"generationConfig": {"stopSequences": [*"abcde"]}}, "generationConfig.stopSequences"),
        ({"generationConfig": {"responseMimeType": "text/x.enum"}}, "generationConfig.responseMimeType"),
        ({"contents": [{"role": "tool", "parts": []}]}, "contents.0.role"),
        ({"contents": [{"parts": [{"functionCall": {"name": "f"}}]}]}, "contents.0.parts.0.functionCall"),
        (
            {"toolConfig": {"functionCallingConfig": {"mode": "AUTO", "allowedFunctionNames": ["f"]}}},
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
    ],
)
def test_what_a_server_cannot_do_is_refused_by_geminis_name(fields: Json, path: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(generate(**fields), "generate_content", "chat_completions", OPENAI)
    assert caught.value.field == path


def test_several_candidates_are_several_choices() -> None:
    answer = gemini_answer()
    answer["candidates"].append({"content": {"parts": [{"text": "Ho"}]}, "finishReason": "STOP", "index": 1})
    choices = to_chat(answer)["choices"]
    assert [(choice["index"], choice["message"]["content"]) for choice in choices] == [(0, "Hi"), (1, "Ho")]
    assert to_gemini(chat(n=2))["generationConfig"] == {"candidateCount": 2}


def test_log_probabilities_are_those_of_chat_completions() -> None:
    found = {
        "chosenCandidates": [{"token": "Hi", "tokenId": 1, "logProbability": -0.5}],
        "topCandidates": [{"candidates": [{"token": "Ho", "logProbability": -1.5}]}],
    }
    [token] = to_chat(gemini_answer(logprobsResult=found))["choices"][0]["logprobs"]["content"]
    assert (token["token"], token["logprob"], token["bytes"]) == ("Hi", -0.5, [72, 105])
    assert token["top_logprobs"][0]["token"] == "Ho"
    assert to_gemini(chat(logprobs=True, top_logprobs=2))["generationConfig"] == {
        "responseLogprobs": True,
        "logprobs": 2,
    }
