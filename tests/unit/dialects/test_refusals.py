"""The translations apply every rule of OpenAI's dialect that rejects or ignores a field."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.dialects.chat_via_converse.request_rules import CHAT_TO_CONVERSE
from batchgate.providers.dialects.chat_via_gemini.request_rules import CHAT_TO_GEMINI
from batchgate.providers.dialects.chat_via_messages.request_rules import CHAT_TO_MESSAGES
from batchgate.providers.dialects.chat_via_responses.request_rules import CHAT_TO_RESPONSES
from batchgate.providers.dialects.converse_via_chat.request_rules import CONVERSE_TO_CHAT
from batchgate.providers.dialects.gemini_via_chat.request_rules import GEMINI_TO_CHAT
from batchgate.providers.dialects.responses_via_chat.request_rules import RESPONSES_TO_CHAT
from batchgate.providers.dialects.rules import Ignored, Rejected, Rule, wire_name
from batchgate_api import chat_completions as c
from tests.unit.dialects.openai_rows import CALL, FUNCTION, USER, Json, chat, translate
from tests.unit.dialects.request_places import (
    CHAT_PLACES,
    CONVERSE_PLACES,
    GEMINI_PLACES,
    RESPONSES_PLACES,
    VALUES,
    assistant,
    part,
)

DIRECTIONS: tuple[tuple[RowKind, RowKind, tuple[Rule, ...], dict[type, Callable[[Json], Json]]], ...] = (
    ("chat_completions", "messages", CHAT_TO_MESSAGES, CHAT_PLACES),
    ("chat_completions", "responses", CHAT_TO_RESPONSES, CHAT_PLACES),
    ("chat_completions", "converse", CHAT_TO_CONVERSE, CHAT_PLACES),
    ("converse", "chat_completions", CONVERSE_TO_CHAT, CONVERSE_PLACES),
    ("responses", "chat_completions", RESPONSES_TO_CHAT, RESPONSES_PLACES),
    ("chat_completions", "generate_content", CHAT_TO_GEMINI, CHAT_PLACES),
    ("generate_content", "chat_completions", GEMINI_TO_CHAT, GEMINI_PLACES),
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
        messages=assistant(tool_calls=[{"id": "c", "type": "custom", "custom": {"name": "t", "input": "i"}}])
    ),
    c.ChatAllowedToolsChoice: chat(
        tool_choice={"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}
    ),
    c.ChatFunctionMessage: chat(messages=[{"role": "function", "name": "f", "content": "o"}]),
    c.ChatAudioPart: chat(messages=part(type="input_audio", input_audio={"data": "AA==", "format": "wav"})),
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


@pytest.mark.parametrize("to", ["messages", "responses", "converse"])
def test_a_call_in_its_place_is_no_refusal(to: RowKind) -> None:
    called = assistant(tool_calls=[CALL])[1:2]
    answer = {"role": "tool", "tool_call_id": "call_1", "content": "o"}
    assert translate(chat(messages=[USER, *called, answer], tools=[FUNCTION]), "chat_completions", to)
