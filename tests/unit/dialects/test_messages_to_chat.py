"""A Messages request says the same in Chat Completions, or is refused by the name of the field that cannot be said.

Field names and values: types of anthropic-sdk 2.12 (message_create_params.py) and openai 3.54 (types/chat).
"""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry.known_servers import GEMINI, GROQ, MISTRAL, OLLAMA, OPENAI, SGLANG, VLLM, XAI
from tests.unit.dialects.rows import USER_TURN, Json, assistant, text, translate, user

SCHEMA: Json = {"type": "object", "properties": {"b": {}, "a": {}}, "additionalProperties": False}
FORMAT: Json = {"type": "json_schema", "schema": SCHEMA}
RESPONSE_FORMAT: Json = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
PLAIN: Json = translate()


def test_a_minimal_request_has_the_model_the_message_and_the_limit() -> None:
    assert PLAIN == {"model": "model", "messages": [USER_TURN], "max_completion_tokens": 64}


@pytest.mark.parametrize(
    ("target", "fields", "added"),
    [
        (OPENAI, {"temperature": 0.5}, {"temperature": 0.5}),
        (OPENAI, {"temperature": None}, {}),
        (OPENAI, {"top_p": 0.9}, {"top_p": 0.9}),
        (VLLM, {"top_k": 40}, {"top_k": 40}),
        (OPENAI, {"stop_sequences": ["\n", "END"]}, {"stop": ["\n", "END"]}),
        (OPENAI, {"stop_sequences": []}, {}),
        (VLLM, {"stop_sequences": ["1", "2", "3", "4", "5"]}, {"stop": ["1", "2", "3", "4", "5"]}),
        (OPENAI, {"stream": False}, {}),
        (OPENAI, {"metadata": {"user_id": "u-1"}}, {"safety_identifier": "u-1"}),
        (VLLM, {"metadata": {"user_id": "u-1"}}, {"user": "u-1"}),
        (MISTRAL, {"metadata": {"user_id": None}}, {}),
        (OPENAI, {"metadata": {}}, {}),
        (OPENAI, {"service_tier": "auto"}, {"service_tier": "auto"}),
        (OPENAI, {"service_tier": "standard_only"}, {"service_tier": "default"}),
        (VLLM, {"service_tier": "standard_only"}, {}),
        (OPENAI, {"output_config": {"format": FORMAT}}, {"response_format": RESPONSE_FORMAT}),
        (OPENAI, {"output_format": FORMAT}, {"response_format": RESPONSE_FORMAT}),
        (OPENAI, {"output_config": {"effort": "xhigh"}}, {"reasoning_effort": "xhigh"}),
        (OPENAI, {"thinking": {"type": "adaptive"}}, {}),
        (OPENAI, {"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
        (VLLM, {"thinking": {"type": "enabled", "budget_tokens": 2048}}, {"thinking_token_budget": 2048}),
        (SGLANG, {"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"}),
    ],
)
def test_a_setting_is_translated_for_the_server(target: ServerCapabilities, fields: Json, added: Json) -> None:
    assert translate(target, **fields) == translate(target) | added


@pytest.mark.parametrize(
    ("target", "field"),
    [(OPENAI, "max_completion_tokens"), (GROQ, "max_completion_tokens"), (VLLM, "max_tokens"), (OLLAMA, "max_tokens")],
)
def test_the_limit_of_tokens_has_the_name_that_the_target_knows(target: ServerCapabilities, field: str) -> None:
    request = translate(target, max_tokens=7)
    assert {name: request[name] for name in request if "max" in name} == {field: 7}


@pytest.mark.parametrize(
    ("target", "fields", "refusal"),
    [
        (
            OPENAI,
            {"max_tokens": 0},
            "max_tokens: 0 only warms the cache and returns no answer; it should be at least 1",
        ),
        (OPENAI, {"stream": True}, "stream: batches do not stream; leave it out or set it to false"),
        (OPENAI, {"top_k": 40}, "top_k: openai does not support top_k; use temperature or top_p"),
        (OLLAMA, {"top_k": 40}, "top_k: ollama does not support top_k; use temperature or top_p"),
        (OPENAI, {"stop_sequences": list("12345")}, "stop_sequences: openai takes at most 4, not 5"),
        (
            MISTRAL,
            {"metadata": {"user_id": "u"}},
            "metadata.user_id: mistral has no field for the user; leave it out",
        ),
        (
            OPENAI,
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            (
                "thinking.budget_tokens: openai does not support a thinking budget; "
                "use adaptive thinking and output_config.effort"
            ),
        ),
        (
            OPENAI,
            {"thinking": {"type": "between_tools"}},
            "thinking: Chat Completions has no such setting; use adaptive",
        ),
        (XAI, {"thinking": {"type": "disabled"}}, "thinking: xai cannot turn thinking off; leave it out"),
        (OLLAMA, {"output_config": {"effort": "max"}}, "output_config.effort: ollama supports only high, low, medium"),
        (
            XAI,
            {"output_config": {"effort": "low"}},
            "output_config.effort: xai does not support effort levels; leave it out",
        ),
        (
            OPENAI,
            {"thinking": {"type": "disabled"}, "output_config": {"effort": "low"}},
            "output_config.effort: openai has one field for thinking and effort; leave one out",
        ),
        (
            OPENAI,
            {"output_config": {"format": FORMAT}, "output_format": FORMAT},
            "output_format: the output format is already set in output_config.format",
        ),
    ],
)
def test_a_field_that_the_server_does_not_support_is_rejected(
    target: ServerCapabilities, fields: Json, refusal: str
) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(target, **fields)
    assert str(caught.value) == refusal


@pytest.mark.parametrize("target", [OPENAI, VLLM, GEMINI])
@pytest.mark.parametrize("effort", ["low", "medium", "high"])
def test_effort_keeps_its_name(target: ServerCapabilities, effort: str) -> None:
    assert translate(target, output_config={"effort": effort})["reasoning_effort"] == effort


@pytest.mark.parametrize(
    ("system", "content"),
    [
        ("Be brief.", "Be brief."),
        ([text("Be brief.", cache_control={"type": "ephemeral"})], "Be brief."),
        ([text("One."), text("Two.")], [text("One."), text("Two.")]),
    ],
)
def test_the_system_prompt_becomes_the_first_message(system: Any, content: Any) -> None:
    assert translate(system=system)["messages"] == [{"role": "system", "content": content}, USER_TURN]


@pytest.mark.parametrize("system", ["", []])
def test_an_empty_system_prompt_is_left_out(system: Any) -> None:
    assert translate(system=system) == PLAIN


def test_a_last_turn_of_the_assistant_is_continued_where_the_target_can() -> None:
    request = translate(VLLM, messages=[USER_TURN, assistant(text("The answer is ("))])
    assert request["messages"][-1] == {"role": "assistant", "content": "The answer is ("}
    assert request["continue_final_message"] is True
    assert request["add_generation_prompt"] is False


def test_a_last_turn_of_the_assistant_is_refused_where_the_target_would_answer_it() -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(OPENAI, messages=[USER_TURN, assistant(text("The answer is ("))])
    assert str(caught.value) == "messages.1: openai cannot continue a partial answer; end with a user message"


def test_a_schema_passes_byte_for_byte() -> None:
    # The order of properties steers the order of the answer's keys, so that it should not be lost.
    assert list(translate(output_format=FORMAT)["response_format"]["json_schema"]["schema"]["properties"]) == ["b", "a"]


def test_a_prompt_keeps_characters_beyond_ascii() -> None:
    assert translate(messages=[user(text("Grüße 👋"))])["messages"] == [{"role": "user", "content": "Grüße 👋"}]
