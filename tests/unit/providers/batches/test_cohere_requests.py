"""What of a request stands in a dataset of Cohere, in which form, and what keeps a request out of it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest

from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import RowKind
from batchgate.providers.batches.cohere_requests import dataset_body

USER: Final = {"role": "user", "content": "Hello"}
IMAGE: Final = "https://example.com/a.png"
PARAMETERS: Final = {"type": "object", "properties": {"a": {"type": "string"}}}
FUNCTION: Final = {"name": "f", "description": "Does f.", "parameters": PARAMETERS}
TOOL: Final = {"type": "function", "function": FUNCTION}


def image(**fields: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": fields}


def written(kind: RowKind, **body: Any) -> Any:
    """Return the body as it stands in a dataset."""
    given = {"model": "m"} | ({} if kind == "cohere_embed" else {"messages": [USER]}) | body
    return msgspec.json.decode(msgspec.json.encode(dataset_body(kind, msgspec.json.encode(given))))


def test_chat_requests_get_coheres_names() -> None:
    body = written(
        "chat_completions", temperature=0.5, top_p=0.9, seed=7, frequency_penalty=0.1, max_completion_tokens=9
    )
    assert body == {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}],
        "temperature": 0.5,
        "p": 0.9,
        "seed": 7,
        "frequency_penalty": 0.1,
        "max_tokens": 9,
    }


def test_requests_of_coheres_own_keep_their_names() -> None:
    body = written("cohere_chat", p=0.9, k=5, logprobs=True, presence_penalty=0.1)
    assert {name: body[name] for name in ("p", "k", "logprobs", "presence_penalty")} == {
        "p": 0.9,
        "k": 5,
        "logprobs": True,
        "presence_penalty": 0.1,
    }
    embed = {"texts": ["a"], "input_type": "search_query", "embedding_types": ["int8"], "truncate": "END"}
    assert written("cohere_embed", **embed) == embed


@pytest.mark.parametrize(
    ("kind", "given", "expected"),
    [
        ("chat_completions", {"reasoning_effort": "none"}, {"reasoning": False}),
        ("chat_completions", {"reasoning_effort": "high"}, {"reasoning": True}),
        ("cohere_chat", {"thinking": {"type": "disabled"}}, {"reasoning": False}),
        (
            "cohere_chat",
            {"thinking": {"type": "enabled", "token_budget": 512}},
            {"reasoning": True, "thinking_budget": 512},
        ),
    ],
)
def test_thinking_has_flat_fields(kind: RowKind, given: dict[str, Any], expected: dict[str, Any]) -> None:
    body = written(kind, **given)
    del body["messages"]
    assert body == expected


@pytest.mark.parametrize("kind", ["chat_completions", "cohere_chat"])
def test_messages_and_tools_get_the_forms_of_datasets(kind: RowKind) -> None:
    call = {"id": "t-1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "developer" if kind == "chat_completions" else "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [{"type": "text", "text": "Look"}, image(url=IMAGE)],
        },
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t-1", "content": "Sunny"},
    ]
    body = written(kind, messages=messages, tools=[TOOL])
    assert body["messages"] == [
        {"role": "system", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, {"type": "image_url", "image_url": IMAGE}]},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "t-1", "content": [{"type": "text", "text": "Sunny"}]},
    ]
    (tool,) = body["tools"]
    assert msgspec.json.decode(tool["function"]["parameters"]) == PARAMETERS
    assert tool["function"] | {"parameters": PARAMETERS} == FUNCTION


@pytest.mark.parametrize(
    "fields",
    [
        {"stream": False},
        {"n": 1},
        {"logprobs": False},
        {"tool_choice": "auto"},
        {"parallel_tool_calls": True},
        {"response_format": {"type": "text"}},
        {"stop": None},
        {"tools": None},
    ],
)
def test_a_field_that_says_what_is_the_default_is_left_out(fields: dict[str, Any]) -> None:
    assert written("chat_completions", **fields).keys() == {"messages"}


@pytest.mark.parametrize(
    ("kind", "fields", "path"),
    [
        ("chat_completions", {"stop": ["a"]}, "stop"),
        ("chat_completions", {"response_format": {"type": "json_object"}}, "response_format"),
        ("chat_completions", {"n": 2}, "n"),
        ("chat_completions", {"tool_choice": "required"}, "tool_choice"),
        ("chat_completions", {"user": "u"}, "user"),
        ("chat_completions", {"max_tokens": 1, "max_completion_tokens": 2}, "max_completion_tokens"),
        ("chat_completions", {"field_of_tomorrow": 1}, "field_of_tomorrow"),
        ("chat_completions", {"messages": [USER | {"name": "n"}]}, "messages.0.name"),
        ("cohere_chat", {"stop_sequences": ["a"]}, "stop_sequences"),
        ("cohere_chat", {"documents": ["a"]}, "documents"),
        ("cohere_chat", {"citation_options": {"mode": "OFF"}}, "citation_options"),
        ("cohere_chat", {"safety_mode": "OFF"}, "safety_mode"),
        ("cohere_chat", {"response_format": {"type": "json_object"}}, "response_format"),
        ("cohere_chat", {"strict_tools": True}, "strict_tools"),
        ("cohere_chat", {"tool_choice": "REQUIRED"}, "tool_choice"),
        ("cohere_chat", {"priority": 0}, "priority"),
        ("cohere_chat", {"messages": [{"role": "assistant", "tool_plan": "p"}]}, "messages.0.tool_plan"),
        (
            "cohere_chat",
            {"messages": [{"role": "tool", "content": [{"type": "document", "document": {"data": {}}}]}]},
            "messages.0.content.0",
        ),
        (
            "chat_completions",
            {"messages": [{"role": "user", "content": [image(url=IMAGE, detail="low")]}]},
            "messages.0.content.0",
        ),
        (
            "chat_completions",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {}}]}]},
            "messages.0.content.0",
        ),
        ("chat_completions", {"tools": [{"type": "function", "function": FUNCTION | {"strict": True}}]}, "tools.0"),
        ("chat_completions", {"tools": [{"type": "custom", "custom": {"name": "c"}}]}, "tools.0"),
        ("cohere_embed", {"texts": ["a"], "output_dimension": 256}, "output_dimension"),
        ("cohere_embed", {"texts": ["a"], "priority": 1}, "priority"),
    ],
)
def test_what_a_dataset_would_drop_keeps_a_request_out_of_it(kind: RowKind, fields: dict[str, Any], path: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        written(kind, **fields)
    assert caught.value.field == path


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"messages":5}', b'{"messages":[5]}', b'{"messages":[{"content":5}]}'])
def test_a_malformed_request_is_not_written(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        dataset_body("cohere_chat", body)
