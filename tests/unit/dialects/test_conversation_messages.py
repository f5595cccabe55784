"""Turns of a conversation keep their order, their roles and their contents."""

from __future__ import annotations

import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry.known_servers import OLLAMA, OPENAI, SGLANG, VLLM
from tests.unit.dialects.rows import USER_TURN, Json, assistant, text, tool_result, tool_use, translate_turns, user

BASE64: Json = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}}
URL: Json = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
FILE: Json = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
THINKING: Json = {"type": "thinking", "thinking": "Let me see.", "signature": ""}


def test_roles_and_their_order_are_kept() -> None:
    assert translate_turns(
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "system", "content": "c"},
        {"role": "system", "content": [text("d"), text("e")]},
        {"role": "user", "content": "f"},
    ) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "system", "content": "c"},
        {"role": "system", "content": [text("d"), text("e")]},
        {"role": "user", "content": "f"},
    ]


def test_a_single_text_block_is_the_same_as_a_string() -> None:
    assert translate_turns(user(text("a")), assistant(text("b")), user(text("c"))) == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c"},
    ]


def test_several_blocks_stay_apart_and_in_order() -> None:
    assert translate_turns(user(text("a"), BASE64, text("b"), URL)) == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "a"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0="}},
                {"type": "text", "text": "b"},
                {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            ],
        }
    ]


def test_calls_and_results_of_tools_keep_their_ids_and_come_before_the_users_words() -> None:
    assert translate_turns(
        USER_TURN,
        assistant(text("Looking."), tool_use(id="t1", input={"q": 1}), tool_use(id="t2", name="other", input={})),
        user(tool_result(tool_use_id="t1", content="one"), tool_result(tool_use_id="t2"), text("And?")),
    ) == [
        USER_TURN,
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [
                {"type": "function", "id": "t1", "function": {"name": "search", "arguments": '{"q":1}'}},
                {"type": "function", "id": "t2", "function": {"name": "other", "arguments": "{}"}},
            ],
        },
        {"role": "tool", "content": "one", "tool_call_id": "t1"},
        {"role": "tool", "content": "", "tool_call_id": "t2"},
        {"role": "user", "content": "And?"},
    ]


def test_a_turn_of_calls_alone_has_no_content() -> None:
    [message, _] = translate_turns(assistant(tool_use()), user(tool_result()))
    assert message["content"] is None


@pytest.mark.parametrize("caller", [None, {"type": "direct"}])
def test_a_call_by_the_model_itself_needs_no_caller(caller: Json | None) -> None:
    assert translate_turns(assistant(tool_use(caller=caller)), USER_TURN) == translate_turns(
        assistant(tool_use()), USER_TURN
    )


@pytest.mark.parametrize(
    ("result", "content"),
    [
        ({"content": "no", "is_error": False}, "no"),
        ({"content": "no such file", "is_error": True}, "Error: no such file"),
        ({"is_error": True}, "Error"),
        ({"content": [text("a")], "is_error": True}, "Error: a"),
        ({"content": [text("a"), text("b")], "is_error": True}, [text("Error:"), text("a"), text("b")]),
        ({"content": []}, ""),
        ({"content": None}, ""),
    ],
)
def test_a_tool_result_is_text_with_a_prefix_if_it_failed(result: Json, content: object) -> None:
    [message] = translate_turns(user(tool_result(**result)))
    assert message["content"] == content


@pytest.mark.parametrize(
    ("target", "field"), [(VLLM, "reasoning"), (OLLAMA, "reasoning"), (SGLANG, "reasoning_content")]
)
def test_thinking_goes_back_where_the_target_takes_it(target: ServerCapabilities, field: str) -> None:
    [message, _] = translate_turns(assistant(THINKING, text("Yes.")), USER_TURN, target=target)
    assert message == {"role": "assistant", "content": "Yes.", field: "Let me see."}


@pytest.mark.parametrize(
    ("target", "turn", "refusal"),
    [
        (
            OPENAI,
            assistant(THINKING, text("a")),
            "messages.0.content.0: openai does not accept the model's earlier reasoning; leave thinking blocks out",
        ),
        (
            VLLM,
            assistant(text("a"), THINKING),
            "messages.0.content.1: thinking should come before the text and tool_use blocks of the message",
        ),
        (
            OPENAI,
            assistant(tool_use(), text("a")),
            "messages.0.content.1: text should come before the tool_use blocks of the message",
        ),
        (
            OPENAI,
            user(text("a"), tool_result()),
            "messages.0.content.1: tool_result blocks should come before the other blocks of the message",
        ),
        (OPENAI, user(tool_use()), "messages.0.content.0: such blocks are allowed only in assistant messages"),
        (OPENAI, user(THINKING), "messages.0.content.0: such blocks are allowed only in assistant messages"),
        (OPENAI, assistant(BASE64), "messages.0.content.0: such blocks are allowed only in user messages"),
        (OPENAI, assistant(tool_result()), "messages.0.content.0: such blocks are allowed only in user messages"),
        (OPENAI, user(), "messages.0.content: should have at least one block"),
        (OPENAI, assistant(), "messages.0.content: should have at least one block"),
        (OPENAI, {"role": "system"}, "messages.0.content: Field required"),
        (OPENAI, {"role": "system", "content": []}, "messages.0.content: should have at least one block"),
        (
            OPENAI,
            user(FILE),
            "messages.0.content.0.source: only Anthropic can read the file; send the image as base64 or by its URL",
        ),
        (OLLAMA, user(URL), "messages.0.content.0.source: ollama does not download images; send it as base64"),
        (
            OPENAI,
            user(tool_result(content=[BASE64])),
            (
                "messages.0.content.0.content.0: tool results can only be text there; "
                "put the image after the tool_result blocks of the message"
            ),
        ),
        (
            OPENAI,
            assistant(tool_use(caller={"type": "code_execution_20260120", "tool_id": "srvtoolu_1"})),
            "messages.0.content.0.caller: only direct calls by the model are supported",
        ),
        (OPENAI, assistant(tool_use(input=[1])), "messages.0.content.0.input: Input should be an object"),
        (
            OPENAI,
            user({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "a"}}),
            ("messages.0.content.0: Chat Completions has no document blocks; send the document's text as a text block"),
        ),
    ],
)
def test_a_turn_that_would_lose_something_is_refused_by_its_path(
    target: ServerCapabilities, turn: Json, refusal: str
) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate_turns(turn, USER_TURN, target=target)
    assert str(caught.value) == refusal
