"""A Chat Completions request is sent to Anthropic in a form that it accepts: blank texts, roles, images, nulls."""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.model.errors import Untranslatable
from tests.unit.dialects.openai_rows import CALL, USER, Json, chat, responses, translate

PNG = "iVBORw0KGgoAAAAN"
JPEG = "/9j/4AAQSkZJRgAB"


def turns(*messages: Json, **fields: Any) -> list[Json]:
    found: list[Json] = translate(chat(messages=list(messages), **fields), "chat_completions", "messages")["messages"]
    return found


def said(role: str, content: object) -> Json:
    return {"role": role, "content": content}


BLANK = [
    "",
    " ",
    "\n\t ",
    "\N{NO-BREAK SPACE}",
    None,
    [],
    [{"type": "text", "text": ""}],
    [{"type": "text", "text": " "}],
]
blank = pytest.mark.parametrize("content", BLANK)


@blank
@pytest.mark.parametrize("role", ["user", "assistant", "system", "developer"])
def test_a_message_without_content_is_left_out(role: str, content: object) -> None:
    assert turns(USER, said(role, content), USER) == [USER, USER]


@blank
@pytest.mark.parametrize("role", ["system", "developer"])
def test_blank_instructions_are_no_system_prompt(role: str, content: object) -> None:
    document = translate(chat(messages=[said(role, content), USER]), "chat_completions", "messages")
    assert "system" not in document


def test_blank_instructions_are_left_out_beside_others() -> None:
    parts = [{"type": "text", "text": ""}, {"type": "text", "text": "Be kind."}]
    document = translate(
        chat(messages=[said("system", parts), said("system", " "), USER]), "chat_completions", "messages"
    )
    assert document["system"] == "Be kind."


def test_blank_texts_are_left_out_beside_other_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "https://images.example/a.png"}}
    parts = [{"type": "text", "text": ""}, image, {"type": "text", "text": " \n"}, {"type": "text", "text": "this"}]
    [turn] = turns(said("user", parts))
    assert [block["type"] for block in turn["content"]] == ["image", "text"]


@blank
def test_calls_need_no_text_and_results_no_content(content: object) -> None:
    calling = said("assistant", content) | {"tool_calls": [CALL]}
    [_, called, result] = turns(USER, calling, {"role": "tool", "tool_call_id": "call_1", "content": content})
    assert [block["type"] for block in called["content"]] == ["tool_use"]
    assert result["content"] == [{"type": "tool_result", "tool_use_id": "call_1"}]


def test_results_are_kept_if_the_message_after_them_is_blank() -> None:
    calling = said("assistant", "Looking.") | {"tool_calls": [CALL]}
    sent = [USER, calling, {"role": "tool", "tool_call_id": "call_1", "content": "x"}, said("user", "")]
    assert turns(*sent)[-1]["content"] == [{"type": "tool_result", "tool_use_id": "call_1", "content": "x"}]


@blank
def test_a_conversation_without_any_content_is_refused(content: object) -> None:
    with pytest.raises(Untranslatable, match=r"^messages: should have at least one message with content"):
        turns(said("system", "Be kind."), said("user", content))


def test_a_last_message_without_content_does_not_make_the_answer_before_it_a_beginning() -> None:
    with pytest.raises(Untranslatable, match=r"^messages\.1: Messages would continue it"):
        turns(USER, said("assistant", "Hi"), said("user", " "))


@pytest.mark.parametrize("end", ["", " ", "\n\n", " \t"])
def test_a_last_assistant_message_ends_without_white_space(end: str) -> None:
    begun = said("assistant", f"Once upon{end}")
    assert turns(USER, begun, continue_final_message=True) == [USER, said("assistant", "Once upon")]
    parts = said("assistant", [{"type": "text", "text": "Once "}, {"type": "text", "text": f"upon{end}"}])
    [_, last] = turns(USER, parts, continue_final_message=True)
    assert [block["text"] for block in last["content"]] == ["Once ", "upon"]


def test_white_space_stays_in_every_other_place() -> None:
    assert turns(said("user", " a "), said("assistant", "b\n"), said("user", "c ")) == [
        said("user", " a "),
        said("assistant", "b\n"),
        said("user", "c "),
    ]


@blank
def test_a_last_assistant_message_without_content_begins_nothing(content: object) -> None:
    assert turns(USER, said("assistant", content), continue_final_message=True) == [USER]


def test_blank_messages_of_responses_are_left_out_too() -> None:
    row = responses(input=[USER, said("assistant", ""), said("user", [{"type": "input_text", "text": " "}]), USER])
    assert translate(row, "responses", "messages")["messages"] == [USER, USER]


# ---------------------------------------------------------------- images


@pytest.mark.parametrize(
    ("declared", "data", "media_type"),
    [
        ("image/jpg", "AA==", "image/jpeg"),
        ("IMAGE/JPG", "AA==", "image/jpeg"),
        ("image/pjpeg", "AA==", "image/jpeg"),
        ("image/x-png", "AA==", "image/png"),
        ("image/webp", "AA==", "image/webp"),
        ("image/png", JPEG, "image/jpeg"),
        ("image/jpeg", PNG, "image/png"),
        ("image/jpeg", "R0lGODlh", "image/gif"),
        ("application/octet-stream", "UklGRgAA", "image/webp"),
    ],
)
def test_the_media_type_of_an_image_is_one_that_anthropic_knows(declared: str, data: str, media_type: str) -> None:
    part = {"type": "image_url", "image_url": {"url": f"data:{declared};base64,{data}"}}
    [turn] = turns(said("user", [part]))
    assert turn["content"][0]["source"] == {"type": "base64", "media_type": media_type, "data": data}


def test_line_breaks_in_base64_are_removed() -> None:
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA\r\nAAAA\n"}}
    [turn] = turns(said("user", [part]))
    assert turn["content"][0]["source"]["data"] == "AAAAAAAA"


# ---------------------------------------------------------------- arguments and nulls


@pytest.mark.parametrize(
    ("arguments", "tool_input"),
    [
        ('{"a": "x\ny"}', {"a": "x\ny"}),
        ('"{\\"a\\": 1}"', {"a": 1}),
        ("", {}),
        ("null", {}),
        (None, {}),
        ('{"a":', {"INVALID_JSON": '{"a":'}),
        ("[1]", {"INVALID_JSON": "[1]"}),
        ("no JSON", {"INVALID_JSON": "no JSON"}),
    ],
)
def test_arguments_of_an_earlier_answer_are_an_object(arguments: str | None, tool_input: Json) -> None:
    calling = {"role": "assistant", "tool_calls": [CALL | {"function": {"name": "f", "arguments": arguments}}]}
    [_, called, _] = turns(USER, calling, {"role": "tool", "tool_call_id": "call_1", "content": "x"})
    assert called["content"][0]["input"] == tool_input


@pytest.mark.parametrize(
    ("parameters", "schema"),
    [
        ({}, {"type": "object"}),
        (None, {"type": "object", "properties": {}}),
        ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}),
        ({"type": "object", "b": 1, "a": 2}, {"type": "object", "b": 1, "a": 2}),
    ],
)
def test_the_schema_of_a_tool_has_a_type(parameters: object, schema: Json) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": parameters}}
    document = translate(chat(tools=[tool]), "chat_completions", "messages")
    assert document["tools"] == [{"name": "f", "input_schema": schema}]


@pytest.mark.parametrize("choice", ["auto", "none", None])
@pytest.mark.parametrize("tools", [{}, {"tools": []}, {"tools": None}])
def test_a_choice_among_no_tools_is_left_out(choice: str | None, tools: Json) -> None:
    document = translate(chat(tool_choice=choice, **tools), "chat_completions", "messages")
    assert "tool_choice" not in document


def test_fields_that_are_null_are_absent() -> None:
    nulls = dict.fromkeys(["tools", "tool_choice", "stop", "temperature", "response_format", "seed", "n", "user"])
    message = USER | {"name": None}
    empty = {"role": "assistant", "content": "Hi", "refusal": None, "tool_calls": None, "function_call": None}
    row = chat(messages=[message, empty | {"audio": None}, USER], **nulls)
    assert translate(row, "chat_completions", "messages")["messages"] == [USER, said("assistant", "Hi"), USER]
