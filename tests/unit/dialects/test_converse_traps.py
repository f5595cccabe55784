"""What others got wrong between Chat Completions or Messages and Bedrock's Converse (more-dialects 6, 20 to 33)."""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.model.errors import NoUpstreamAnswer, Untranslatable
from batchgate.providers.dialects.chat_via_converse.sources import DOCUMENT_TYPES
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from tests.unit.dialects.openai_rows import CALL, FUNCTION, USER, Json, answered, chat, converse, translate

CALLED: Json = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT: Json = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
SEVERAL: Json = {"role": "assistant", "content": "Two.", "tool_calls": [CALL, CALL | {"id": "call_2"}]}


def to_converse(model: str = "amazon.nova-lite-v1:0", **fields: Any) -> Json:
    """Translate a Chat Completions request to Converse."""
    return translate(chat(**fields), "chat_completions", "converse", model=model)


def answer(*blocks: Json, **fields: Any) -> Json:
    """Write a Converse answer."""
    return {
        "output": {"message": {"role": "assistant", "content": [*blocks]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 1, "outputTokens": 2, "totalTokens": 3},
        "metrics": {"latencyMs": 4},
    } | fields


def to_chat(*blocks: Json, **fields: Any) -> Json:
    """Translate a Converse answer to Chat Completions."""
    return answered(answer(*blocks, **fields), "converse", "chat_completions")


def refusal_of(**fields: Any) -> str:
    """Return the path that a refused request names."""
    with pytest.raises(Untranslatable) as refused:
        to_converse(**fields)
    return refused.value.field


# ---------------------------------------------------------------- tools


def test_tools_are_needed_where_the_conversation_has_calls() -> None:
    assert refusal_of(messages=[USER, CALLED, RESULT]) == "tools"
    assert refusal_of(messages=[USER, CALLED, RESULT], tools=[FUNCTION], tool_choice="none") == "tool_choice"
    assert "toolConfig" in to_converse(messages=[USER, CALLED, RESULT], tools=[FUNCTION])


def test_the_choice_none_leaves_out_the_tools() -> None:
    assert "toolConfig" not in to_converse(tools=[FUNCTION], tool_choice="none")


def test_the_results_of_parallel_calls_stand_in_one_message_before_what_the_user_says() -> None:
    row = to_converse(messages=[USER, SEVERAL, RESULT, RESULT | {"tool_call_id": "call_2"}, USER], tools=[FUNCTION])
    question, called, results = row["messages"]
    assert [question["role"], called["role"], results["role"]] == ["user", "assistant", "user"]
    assert [*map(list, results["content"])] == [["toolResult"], ["toolResult"], ["text"]]
    ids = [block["toolUse"]["toolUseId"] for block in called["content"][1:]]
    assert [block["toolResult"]["toolUseId"] for block in results["content"][:2]] == ids == ["call_1", "call_2"]


@pytest.mark.parametrize(
    ("choice", "translated"),
    [
        ("auto", {"auto": {}}),
        ("required", {"any": {}}),
        ({"type": "function", "function": {"name": "search"}}, {"tool": {"name": "search"}}),
    ],
)
def test_a_tool_choice_is_never_dropped(choice: Any, translated: Json) -> None:
    assert to_converse(tools=[FUNCTION], tool_choice=choice)["toolConfig"]["toolChoice"] == translated


def test_a_name_outside_bedrocks_pattern_is_written_in_every_place_and_restored_in_the_answer() -> None:
    def named(tool: Json) -> Json:
        return tool | {"function": tool["function"] | {"name": "server.find it"}}

    row = to_converse(
        messages=[USER, CALLED | {"tool_calls": [named(CALL)]}, RESULT],
        tools=[named(FUNCTION)],
        tool_choice={"type": "function", "function": {"name": "server.find it"}},
    )
    name = "server_x2e_find_x20_it"
    assert row["toolConfig"]["tools"][0]["toolSpec"]["name"] == name
    assert row["toolConfig"]["toolChoice"] == {"tool": {"name": name}}
    assert row["messages"][1]["content"][0]["toolUse"]["name"] == name
    called = to_chat({"toolUse": {"toolUseId": "t", "name": name, "input": {}}})
    assert called["choices"][0]["message"]["tool_calls"][0]["function"]["name"] == "server.find it"


def test_a_name_that_is_too_long_is_refused_by_its_path() -> None:
    tool = FUNCTION | {"function": FUNCTION["function"] | {"name": "." * 20}}
    assert refusal_of(tools=[tool]) == "tools.0.function.name"


def test_an_id_outside_bedrocks_pattern_is_replaced_in_the_call_and_its_result() -> None:
    calls, result = (
        CALLED | {"tool_calls": [CALL | {"id": "functions.f:0"}]},
        RESULT | {"tool_call_id": "functions.f:0"},
    )
    _, called, answers = to_converse(messages=[USER, calls, result], tools=[FUNCTION])["messages"]
    found = called["content"][0]["toolUse"]["toolUseId"]
    assert found == answers["content"][0]["toolResult"]["toolUseId"] == "functions_f_0"


def test_a_description_without_words_is_left_out() -> None:
    tool = FUNCTION | {"function": FUNCTION["function"] | {"description": ""}}
    assert "description" not in to_converse(tools=[tool])["toolConfig"]["tools"][0]["toolSpec"]


def test_one_call_at_a_time_cannot_be_asked_for() -> None:
    assert refusal_of(tools=[FUNCTION], parallel_tool_calls=False) == "parallel_tool_calls"


# ---------------------------------------------------------------- messages


@pytest.mark.parametrize("blank", ["", " ", "\n\t"])
def test_blank_texts_are_left_out_and_so_are_messages_without_more(blank: str) -> None:
    said = {"role": "assistant", "content": blank}
    parts = {"role": "user", "content": [{"type": "text", "text": blank}, {"type": "text", "text": "b"}]}
    row = to_converse(messages=[USER, said, parts])
    assert row["messages"] == [{"role": "user", "content": [{"text": "Hello"}, {"text": "b"}]}]
    assert refusal_of(messages=[{"role": "user", "content": blank}]) == "messages"


def test_the_user_begins_and_the_model_does_not_continue_itself() -> None:
    said = {"role": "assistant", "content": "a"}
    assert refusal_of(messages=[said, USER]) == "messages.0"
    assert refusal_of(messages=[USER, said]) == "messages.1"
    assert refusal_of(messages=[USER, {"role": "system", "content": "s"}]) == "messages.1.role"


def test_a_document_has_a_name_of_its_own_and_stands_beside_a_text() -> None:
    pdf = {"type": "file", "file": {"file_data": "data:application/pdf;base64,AA==", "filename": "a_b.pdf"}}
    plain = {"type": "file", "file": {"file_data": "data:text/plain;base64,AA=="}}
    text = {"type": "text", "text": "Read."}
    (message,) = to_converse(messages=[{"role": "user", "content": [text, pdf, pdf, plain]}])["messages"]
    found = [block["document"] for block in message["content"][1:]]
    assert [(one["format"], one["name"]) for one in found] == [
        ("pdf", "a-b-pdf"),
        ("pdf", "a-b-pdf-2"),
        ("txt", "document"),
    ]
    assert refusal_of(messages=[{"role": "user", "content": [pdf]}]) == "messages.0.content"
    assert len(DOCUMENT_TYPES) == len({*DOCUMENT_TYPES.values()}) == 9


def test_an_image_is_sent_as_bytes_in_the_format_that_it_has() -> None:
    jpeg = {"type": "image_url", "image_url": {"url": "data:image/png;base64,/9j/AA=="}}
    (message,) = to_converse(messages=[{"role": "user", "content": [jpeg]}])["messages"]
    assert message["content"] == [{"image": {"format": "jpeg", "source": {"bytes": "/9j/AA=="}}}]
    linked = {"type": "image_url", "image_url": {"url": "https://images.example/a.png"}}
    assert refusal_of(messages=[{"role": "user", "content": [linked]}]) == "messages.0.content.0.image_url.url"


# ---------------------------------------------------------------- parameters


def test_no_parameter_is_added_as_some_models_refuse_them_together() -> None:
    assert to_converse() == {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
    assert to_converse(temperature=0.5)["inferenceConfig"] == {"temperature": 0.5}


def test_what_only_claude_has_is_refused_for_other_models() -> None:
    for field, value in (("top_k", 4), ("thinking_token_budget", 1024), ("reasoning_effort", "none")):
        assert refusal_of(**{field: value}) == field
        assert to_converse("eu.anthropic.claude-x-v1:0", **{field: value})["additionalModelRequestFields"]


def test_a_schema_is_a_text_there() -> None:
    described = {"name": "n", "schema": {"type": "object"}, "description": "d"}
    row = to_converse(response_format={"type": "json_schema", "json_schema": described})
    structure = {"jsonSchema": {"schema": '{"type":"object"}', "name": "n", "description": "d"}}
    assert row["outputConfig"] == {"textFormat": {"type": "json_schema", "structure": structure}}


# ---------------------------------------------------------------- answers


def test_tokens_of_the_cache_are_part_of_the_prompt_once() -> None:
    usage = {
        "inputTokens": 5,
        "outputTokens": 7,
        "totalTokens": 42,
        "cacheReadInputTokens": 20,
        "cacheWriteInputTokens": 10,
    }
    body = to_chat({"text": "a"}, usage=usage)["usage"]
    assert (body["prompt_tokens"], body["completion_tokens"], body["total_tokens"]) == (35, 7, 42)
    assert body["prompt_tokens_details"] == {"cached_tokens": 20, "cache_write_tokens": 10}
    message = answered(answer({"text": "a"}, usage=usage), "converse", "messages")["usage"]
    assert message["input_tokens"] == 5
    assert (message["cache_read_input_tokens"], message["cache_creation_input_tokens"]) == (20, 10)


@pytest.mark.parametrize(
    ("reason", "chat_reason", "messages_reason"),
    [
        ("end_turn", "stop", "end_turn"),
        ("tool_use", "tool_calls", "tool_use"),
        ("max_tokens", "length", "max_tokens"),
        ("model_context_window_exceeded", "length", "max_tokens"),
        ("stop_sequence", "stop", "end_turn"),
        ("content_filtered", "content_filter", "refusal"),
        ("guardrail_intervened", "content_filter", "refusal"),
    ],
)
def test_an_ending_is_a_word_of_the_dialect(reason: str, chat_reason: str, messages_reason: str) -> None:
    body = answer({"text": "a"}, stopReason=reason)
    assert answered(body, "converse", "chat_completions")["choices"][0]["finish_reason"] == chat_reason
    assert answered(body, "converse", "messages")["stop_reason"] == messages_reason


def test_an_answer_of_calls_only_is_not_empty() -> None:
    (choice,) = to_chat({"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}}, stopReason="tool_use")[
        "choices"
    ]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    ]


def test_reasoning_is_read_where_it_stands() -> None:
    thought = {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "c2ln"}}}
    hidden = {"reasoningContent": {"redactedContent": "AA=="}}
    message = to_chat(thought, hidden, {"text": "a"})["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("Hm.", "a")


def test_text_with_sources_and_images_are_kept() -> None:
    cited = {"citationsContent": {"content": [{"text": "b"}], "citations": [{"title": "t"}]}}
    image = {"image": {"format": "png", "source": {"bytes": "AA=="}}}
    message = to_chat({"text": "a"}, cited, image)["choices"][0]["message"]
    assert message["content"] == "ab"
    assert message["images"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]


@pytest.mark.parametrize("block", [{"newer": {}}, {"toolUse": {"name": "t", "input": {}, "type": "server_tool_use"}}])
def test_a_block_without_an_equivalent_is_no_answer(block: Json) -> None:
    with pytest.raises(NoUpstreamAnswer):
        to_chat({"text": "a"}, block)


# ---------------------------------------------------------------- Converse rows at other providers


def test_a_block_with_two_fields_is_refused_and_not_read_in_part() -> None:
    both = {"text": "a", "image": {"format": "png", "source": {"bytes": "AA=="}}}
    with pytest.raises(Untranslatable, match="should have exactly one field, not text, image"):
        translate(converse(messages=[{"role": "user", "content": [both]}]), "converse", "chat_completions")


def test_a_field_for_the_model_alone_is_refused_by_its_name() -> None:
    row = converse(additionalModelRequestFields={"top_k": 1, "anthropic_beta": ["x"]})
    with pytest.raises(Untranslatable) as refused:
        translate(row, "converse", "chat_completions")
    assert refused.value.field == "additionalModelRequestFields.anthropic_beta"


def test_a_failed_tool_says_so_and_json_is_text() -> None:
    use = {"toolUse": {"toolUseId": "c", "name": "f", "input": {}}}
    failed = {"toolResult": {"toolUseId": "c", "content": [{"json": {"a": 1}}], "status": "error"}}
    messages = [
        {"role": "user", "content": [{"text": "a"}]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [failed]},
    ]
    row = translate(converse(messages=messages), "converse", "chat_completions")
    assert row["messages"][-1] == {"role": "tool", "content": 'Error: {"a":1}', "tool_call_id": "c"}


PLAIN = ServerCapabilities(name="plain")


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"serviceTier": {"type": "flex"}}, "serviceTier.type"),
        ({"outputConfig": {"effort": "low"}}, "outputConfig.effort"),
        ({"additionalModelRequestFields": {"top_k": 1}}, "additionalModelRequestFields.top_k"),
        (
            {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}},
            "additionalModelRequestFields.thinking.budget_tokens",
        ),
        (
            {"toolConfig": {"tools": [{"toolSpec": {"name": "f", "inputSchema": {"json": {}}, "strict": True}}]}},
            "toolConfig.tools.0.toolSpec.strict",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"document": {"name": "n", "format": "pdf", "source": {"bytes": "AA=="}}}],
                    }
                ]
            },
            "messages.0.content.0.document",
        ),
    ],
)
def test_what_a_server_cannot_do_is_refused_by_its_name(fields: Json, path: str) -> None:
    with pytest.raises(Untranslatable) as refused:
        translate(converse(**fields), "converse", "chat_completions", PLAIN)
    assert refused.value.field == path
    assert translate(converse(**fields), "converse", "chat_completions")
