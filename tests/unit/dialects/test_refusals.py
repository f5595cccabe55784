"""The translations apply every rule of OpenAI's dialect that rejects or ignores a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.chat_via_messages.request_rules import CHAT_TO_MESSAGES
from batchgate.providers.dialects.chat_via_responses.request_rules import CHAT_TO_RESPONSES
from batchgate.providers.dialects.responses_via_chat.request_rules import RESPONSES_TO_CHAT
from batchgate.providers.dialects.rules import Ignored, Rejected, Rule, wire_name
from batchgate_api import chat_completions as c
from batchgate_api import responses as r
from tests.unit.dialects.openai_rows import CALL, USER, Json, chat, responses, translate


def _format(**fields: Any) -> Json:
    return {"type": "json_schema", "json_schema": {"name": "n", "schema": {}} | fields}


def _assistant(**fields: Any) -> list[Json]:
    return [{"role": "assistant", "content": "a"} | fields, USER]


def _part(**part: Any) -> list[Json]:
    return [{"role": "user", "content": [{"type": "text", "text": "a"}, part]}]


IMAGE: Json = {"url": "https://images.example/a.png"}
PDF = {"file_data": "data:application/pdf;base64,AA=="}

# Where each model stands in a request: from fields of the model to the request.
CHAT_PLACES: dict[type, Callable[[Json], Json]] = {
    c.ChatCompletionRequest: lambda x: chat(**x),
    c.ChatJsonSchema: lambda x: chat(response_format=_format(**x)),
    c.ChatPromptCacheOptions: lambda x: chat(prompt_cache_options=x),
    c.ChatPromptCacheBreakpoint: lambda x: chat(
        messages=_part(type="text", text="b", prompt_cache_breakpoint={"mode": "explicit"} | x)
    ),
    c.ChatPrediction: lambda x: chat(prediction={"type": "content", "content": "p"} | x),
    c.ChatStreamOptions: lambda x: chat(stream_options=x),
    c.ChatSystemMessage: lambda x: chat(messages=[{"role": "system", "content": "s"} | x, USER]),
    c.ChatDeveloperMessage: lambda x: chat(messages=[{"role": "developer", "content": "s"} | x, USER]),
    c.ChatUserMessage: lambda x: chat(messages=[USER | x]),
    c.ChatAssistantMessage: lambda x: chat(messages=_assistant(**x)),
    c.ChatTextPart: lambda x: chat(messages=_part(type="text", text="b", **x)),
    c.ChatImagePart: lambda x: chat(messages=_part(type="image_url", image_url=IMAGE, **x)),
    c.ChatImageUrl: lambda x: chat(messages=_part(type="image_url", image_url=IMAGE | x)),
    c.ChatFilePart: lambda x: chat(messages=_part(type="file", file=PDF, **x)),
    c.ChatFile: lambda x: chat(messages=_part(type="file", file=PDF | x)),
    c.ChatAudioPart: lambda x: chat(
        messages=_part(type="input_audio", input_audio={"data": "AA==", "format": "wav"}, **x)
    ),
}


def _item(**fields: Any) -> Json:
    return responses(input=[fields, {"role": "user", "content": "b"}])


def _turn(part: Json, role: str = "user") -> Json:
    return responses(input=[{"role": role, "content": [{"type": "input_text", "text": "a"}, part]}])


RESPONSES_PLACES: dict[type, Callable[[Json], Json]] = {
    r.ResponsesRequest: lambda x: responses(**x),
    r.ResponsesReasoningConfig: lambda x: responses(reasoning={"effort": "low"} | x),
    r.ResponsesPromptCacheOptions: lambda x: responses(prompt_cache_options={"mode": "implicit"} | x),
    r.ResponsesFunctionTool: lambda x: responses(tools=[{"type": "function", "name": "f", "parameters": {}} | x]),
    r.ResponsesCustomTool: lambda x: responses(tools=[{"type": "custom", "name": "f"} | x]),
    r.ResponsesNamedToolChoice: lambda x: responses(tool_choice={"type": "function", "name": "f"} | x),
    r.ResponsesNamedTool: lambda x: responses(
        tool_choice={"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"} | x]}
    ),
    r.ResponsesMessage: lambda x: _item(**({"role": "assistant", "content": "a"} | x)),
    r.ResponsesFunctionCall: lambda x: _item(
        **({"type": "function_call", "call_id": "c", "name": "n", "arguments": "{}"} | x)
    ),
    r.ResponsesFunctionCallOutput: lambda x: _item(
        **({"type": "function_call_output", "call_id": "c", "output": "o"} | x)
    ),
    r.ResponsesCustomToolCall: lambda x: _item(
        **({"type": "custom_tool_call", "call_id": "c", "name": "n", "input": "i"} | x)
    ),
    r.ResponsesCustomToolCallOutput: lambda x: _item(
        **({"type": "custom_tool_call_output", "call_id": "c", "output": "o"} | x)
    ),
    r.ResponsesReasoning: lambda x: _item(
        **({"type": "reasoning", "content": [{"type": "reasoning_text", "text": "t"}]} | x)
    ),
    r.ResponsesInputImage: lambda x: _turn({"type": "input_image", "image_url": IMAGE["url"]} | x),
    r.ResponsesInputFile: lambda x: _turn({"type": "input_file"} | PDF | x),
    r.ResponsesOutputText: lambda x: _turn({"type": "output_text", "text": "b"} | x, "assistant"),
}

# A value for each field, by its name or, where a name has several types, by its model and name.
VALUES: dict[str, Any] = {
    "access_programs": {"cyber": "standard"},
    "annotations": [{"type": "file_path"}],
    "async": True,
    "audio": {"id": "audio_1"},
    "background": True,
    "background_options": {"completion_window": "2h"},
    "chat_template_kwargs": {"a": 1},
    "comparison_response_id": "resp_1",
    "context": "all_turns",
    "context_management": [{"type": "compaction"}],
    "continue_final_message": True,
    "conversation": "conv_1",
    "defer_loading": True,
    "description": "d",
    "detail": "low",
    "encrypted_content": "e",
    "file_id": "file-1",
    "file_url": "https://files.example/a.pdf",
    "frequency_penalty": 0.5,
    "function_call": "auto",
    "functions": [{"name": "f"}],
    "generate_summary": "auto",
    "id": "item_1",
    "image": {"context_compression": "auto"},
    "include_obfuscation": True,
    "include_usage": True,
    "logit_bias": {"1": 1},
    "logprobs": True,
    "max_tool_calls": 3,
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "mode": "explicit",
    "moderation": {"model": "m"},
    "n": 2,
    "name": "n",
    "namespace": "n",
    "output_schema": {"type": "object"},
    "phase": "commentary",
    "prediction": {"type": "content", "content": "p"},
    "presence_penalty": 0.5,
    "previous_response_id": "resp_1",
    "prewarm": True,
    "prompt": {"id": "pmpt_1"},
    "prompt_cache_breakpoint": {"mode": "explicit"},
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "implicit"},
    "prompt_cache_retention": "24h",
    "reasoning": "r",
    "reasoning_content": "r",
    "seed": 1,
    "server_label": "s",
    "status": "completed",
    "stop": "END",
    "store": True,
    "stream": True,
    "stream_options": {"include_obfuscation": True},
    "summary": "auto",
    "thinking_token_budget": 1024,
    "top_k": 4,
    "top_logprobs": 2,
    "truncation": "auto",
    "ttl": "30m",
    "verbosity": "high",
    "web_search_options": {},
    "ChatAssistantMessage.function_call": {"name": "f", "arguments": "{}"},
    "ChatCompletionRequest.web_search_options": {"search_context_size": "low"},
    "ChatPrediction.content": "q",
    "ChatPrediction.type": "content",
    "ChatJsonSchema.name": "m",
    "ResponsesOutputText.logprobs": [],
    "ResponsesReasoning.summary": [{"type": "summary_text", "text": "s"}],
    "ResponsesReasoningConfig.mode": "pro",
}

DIRECTIONS: tuple[tuple[RowKind, RowKind, tuple[Rule, ...], dict[type, Callable[[Json], Json]]], ...] = (
    ("chat_completions", "messages", CHAT_TO_MESSAGES, CHAT_PLACES),
    ("chat_completions", "responses", CHAT_TO_RESPONSES, CHAT_PLACES),
    ("responses", "chat_completions", RESPONSES_TO_CHAT, RESPONSES_PLACES),
)


def _rules(action: type) -> list[Any]:
    """Give every rule of a treatment for one field, with its direction and the place of its model."""
    return [
        pytest.param(kind, to, rule, places[rule.model], id=f"{to}: {rule.model.__name__}.{rule.field}")
        for kind, to, rules, places in DIRECTIONS
        for rule in rules
        if isinstance(rule.action, action) and rule.field is not None
    ]


def _field(rule: Rule) -> str:
    assert rule.field
    return wire_name(rule.field)


def _value(rule: Rule) -> Any:
    name = _field(rule)
    return VALUES.get(f"{rule.model.__name__}.{name}", VALUES.get(name))


@pytest.mark.parametrize(("kind", "to", "rule", "place"), _rules(Rejected))
def test_a_rejected_field_raises_an_error_with_its_path_and_reason(
    kind: RowKind, to: RowKind, rule: Rule, place: Callable[[Json], Json]
) -> None:
    assert isinstance(rule.action, Rejected)
    with pytest.raises(Untranslatable) as caught:
        translate(place({_field(rule): _value(rule)}), kind, to)
    assert caught.value.field.rpartition(".")[2] == _field(rule)
    assert caught.value.reason == rule.action.reason


@pytest.mark.parametrize(("kind", "to", "rule", "place"), _rules(Rejected))
def test_a_rejected_field_that_is_empty_is_ignored(
    kind: RowKind, to: RowKind, rule: Rule, place: Callable[[Json], Json]
) -> None:
    assert isinstance(rule.action, Rejected)
    plain = translate(place({}), kind, to)
    for nothing in (None, *rule.action.accepted):
        assert translate(place({_field(rule): nothing}), kind, to) == plain


@pytest.mark.parametrize(("kind", "to", "rule", "place"), _rules(Ignored))
def test_an_ignored_field_does_not_change_the_translated_request(
    kind: RowKind, to: RowKind, rule: Rule, place: Callable[[Json], Json]
) -> None:
    assert _value(rule) is not None
    assert translate(place({_field(rule): _value(rule)}), kind, to) == translate(place({}), kind, to)


WHOLE: dict[type, Json] = {
    c.ChatJsonObjectFormat: chat(response_format={"type": "json_object"}),
    c.ChatCustomTool: chat(tools=[{"type": "custom", "custom": {"name": "t"}}]),
    c.ChatCustomToolChoice: chat(tool_choice={"type": "custom", "custom": {"name": "t"}}),
    c.ChatCustomToolCallParam: chat(
        messages=_assistant(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "t", "input": "i"}}])
    ),
    c.ChatAllowedToolsChoice: chat(
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    ),
    c.ChatFunctionMessage: chat(messages=[{"role": "function", "name": "f", "content": "o"}]),
    c.ChatAudioPart: chat(messages=_part(type="input_audio", input_audio={"data": "AA==", "format": "wav"})),
}
INNER = {c.ChatCustomDefinition, c.ChatCustomCall, c.ChatAllowedTools, c.ChatLegacyFunction, c.ChatInputAudio}
"""Models that are refused within one of `WHOLE`, or with the field that holds them."""


def _whole() -> list[Any]:
    return [
        pytest.param(kind, to, rule, id=f"{to}: {rule.model.__name__}")
        for kind, to, rules, _ in DIRECTIONS
        for rule in rules
        if rule.field is None and isinstance(rule.action, Rejected) and rule.model not in INNER
    ]


@pytest.mark.parametrize(("kind", "to", "rule"), _whole())
def test_a_rejected_model_raises_an_error_with_its_reason(kind: RowKind, to: RowKind, rule: Rule) -> None:
    assert isinstance(rule.action, Rejected)
    with pytest.raises(Untranslatable) as caught:
        translate(WHOLE[rule.model], kind, to)
    assert caught.value.reason == rule.action.reason


@pytest.mark.parametrize("to", ["messages", "responses"])
def test_a_call_in_its_place_is_no_refusal(to: RowKind) -> None:
    called = _assistant(tool_calls=[CALL])[:1]
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "o"}
    assert translate(chat(messages=[USER, *called, answer]), "chat_completions", to)
