"""Custom tools become functions; the choice among them keeps its meaning."""

from __future__ import annotations

from typing import Any

import pytest

from batchgate.engine.model.errors import RequestError
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry.known_servers import OLLAMA, OPENAI, VLLM
from tests.unit.dialects.rows import Json, tool, translate


def test_a_custom_tool_becomes_a_function() -> None:
    schema = {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "number"}}, "required": ["z"]}
    [function] = translate(tools=[tool(type="custom", description="Find.", strict=True, input_schema=schema)])["tools"]
    assert function == {
        "type": "function",
        "function": {"name": "search", "description": "Find.", "parameters": schema, "strict": True},
    }
    assert list(function["function"]["parameters"]["properties"]) == ["z", "a"]


@pytest.mark.parametrize(
    "quiet", [{"type": None}, {"strict": False}, {"allowed_callers": ["direct"]}, {"description": None}]
)
def test_default_values_are_left_out(quiet: Json) -> None:
    assert translate(VLLM, tools=[tool(**quiet)]) == translate(VLLM, tools=[tool()])


def test_an_empty_tool_list_is_left_out() -> None:
    assert translate(tools=[]) == translate(tools=None) == translate()


@pytest.mark.parametrize(
    ("choice", "added"),
    [
        ({"type": "auto"}, {"tool_choice": "auto"}),
        ({"type": "any"}, {"tool_choice": "required"}),
        ({"type": "none"}, {"tool_choice": "none"}),
        (
            {"type": "tool", "name": "search"},
            {"tool_choice": {"type": "function", "function": {"name": "search"}}},
        ),
        ({"type": "auto", "disable_parallel_tool_use": True}, {"tool_choice": "auto", "parallel_tool_calls": False}),
        ({"type": "any", "disable_parallel_tool_use": True}, {"tool_choice": "required", "parallel_tool_calls": False}),
        ({"type": "auto", "disable_parallel_tool_use": False}, {"tool_choice": "auto"}),
        (None, {}),
    ],
)
def test_the_choice_among_tools_keeps_its_meaning(choice: Any, added: Json) -> None:
    assert translate(tools=[tool()], tool_choice=choice) == translate(tools=[tool()]) | added


def test_a_target_without_tool_choice_is_left_to_its_default() -> None:
    assert translate(OLLAMA, tools=[tool()], tool_choice={"type": "auto"}) == translate(OLLAMA, tools=[tool()])


@pytest.mark.parametrize(
    ("target", "fields", "refusal"),
    [
        (
            OPENAI,
            {"tools": [tool(), {"type": "web_search_20260318", "name": "web_search", "max_uses": 3}]},
            "tools.1: web_search_20260318 is a built-in tool of Anthropic; declare a custom tool and run it yourself",
        ),
        (
            OPENAI,
            {"tools": [tool(type="bash_20250124")]},
            "tools.0: bash_20250124 is a built-in tool of Anthropic; declare a custom tool and run it yourself",
        ),
        (
            OPENAI,
            {"tools": [tool(allowed_callers=["code_execution_20260120"])]},
            "tools.0.allowed_callers: only direct calls by the model are supported",
        ),
        (
            VLLM,
            {"tools": [tool(strict=True)]},
            "tools.0.strict: vllm does not enforce the schema; leave it out",
        ),
        (
            OLLAMA,
            {"tool_choice": {"type": "any"}},
            "tool_choice: ollama does not support tool_choice; use auto or leave it out",
        ),
        (
            OLLAMA,
            {"tool_choice": {"type": "auto", "disable_parallel_tool_use": True}},
            "tool_choice.disable_parallel_tool_use: ollama cannot limit an answer to one tool call; leave it out",
        ),
        (OPENAI, {"tools": [tool(colour="red")]}, "tools.0.colour: Extra inputs are not permitted"),
        (OPENAI, {"tools": [tool(), {"name": "search"}]}, "tools.1.input_schema: Field required"),
        (OPENAI, {"tools": ["search"]}, "tools.0: Input should be an object, not a string"),
    ],
)
def test_an_unsupported_tool_is_rejected_with_its_path(target: ServerCapabilities, fields: Json, refusal: str) -> None:
    with pytest.raises(RequestError) as caught:
        translate(target, **fields)
    assert str(caught.value) == refusal
    assert caught.value.kind == "invalid_request_error"
