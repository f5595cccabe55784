"""Every field of the row models has a rule, and the translation applies it.

A new field of a row in spec/ fails here until a rule is made for it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from msgspec import inspect

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_via_converse.answer_rules import CONVERSE_TO_COMPLETION
from batchgate.providers.dialects.chat_via_converse.request_rules import CHAT_TO_CONVERSE
from batchgate.providers.dialects.chat_via_gemini.answer_rules import GEMINI_TO_COMPLETION
from batchgate.providers.dialects.chat_via_gemini.request_rules import CHAT_TO_GEMINI
from batchgate.providers.dialects.chat_via_messages.answer_rules import MESSAGE_TO_CHAT
from batchgate.providers.dialects.chat_via_messages.request_rules import CHAT_TO_MESSAGES
from batchgate.providers.dialects.chat_via_responses.answer_rules import RESPONSE_TO_CHAT
from batchgate.providers.dialects.chat_via_responses.request_rules import CHAT_TO_RESPONSES
from batchgate.providers.dialects.cohere_embeddings import EMBEDDINGS_TO_COHERE
from batchgate.providers.dialects.converse_via_chat.answer_rules import COMPLETION_TO_CONVERSE
from batchgate.providers.dialects.converse_via_chat.request_rules import CONVERSE_TO_CHAT
from batchgate.providers.dialects.gemini_embeddings.rules import (
    EMBEDDINGS_TO_GEMINI,
    GEMINI_EMBEDDINGS_TO_OPENAI,
    GEMINI_TO_EMBEDDINGS,
    OPENAI_EMBEDDINGS_TO_GEMINI,
)
from batchgate.providers.dialects.gemini_via_chat.answer_rules import CHAT_TO_GEMINI_ANSWER
from batchgate.providers.dialects.gemini_via_chat.request_rules import GEMINI_TO_CHAT
from batchgate.providers.dialects.messages_via_chat.answer_rules import CHAT_TO_MESSAGE
from batchgate.providers.dialects.messages_via_chat.request_rules import MESSAGES_TO_CHAT
from batchgate.providers.dialects.responses_via_chat.answer_rules import CHAT_TO_RESPONSE
from batchgate.providers.dialects.responses_via_chat.request_rules import RESPONSES_TO_CHAT
from batchgate.providers.dialects.rules import Ignored, MappedIfSupported, Rejected, Rule, group_by_model
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.registry.known_servers import VLLM
from batchgate_api import chat_completions as c
from batchgate_api import converse as v
from batchgate_api import gemini as g
from batchgate_api import messages as m
from batchgate_api import openai_rows as o
from batchgate_api import responses as r
from batchgate_api.structs import OpenStruct
from tests.unit.dialects import rows
from tests.unit.dialects.rows import Json, assistant, text, tool, tool_result, tool_use, translate, user


def _models(*roots: type) -> Iterator[type[OpenStruct]]:
    """Walk every struct that the roots are made of."""
    seen: set[object] = set()
    waiting: list[Any] = [inspect.type_info(root) for root in roots]
    while waiting:
        match waiting.pop():
            case inspect.StructType(cls=model, fields=fields) if model not in seen:
                seen.add(model)
                assert issubclass(model, OpenStruct)
                yield model
                waiting.extend(field.type for field in fields)
            case inspect.UnionType(types=types):
                waiting.extend(types)
            case inspect.ListType(item_type=item):
                waiting.append(item)
            case inspect.DictType(value_type=value):
                waiting.append(value)
            case inspect.Metadata(type=inner):
                waiting.append(inner)


def _without_rules(rules: tuple[Rule, ...], *roots: type) -> set[str]:
    table = group_by_model(rules)
    return {
        f"{model.__name__}.{field}"
        for model in _models(*roots)
        for field in model.__struct_fields__
        if None not in table.get(model, {}) and field not in table.get(model, {})
    }


DIRECTIONS: dict[str, tuple[tuple[Rule, ...], tuple[type, ...]]] = {
    "Messages to Chat Completions": (MESSAGES_TO_CHAT, (m.MessageParams, m.CustomTool)),
    "Chat Completions to Messages": (CHAT_TO_MESSAGES, (c.ChatCompletionRequest,)),
    "Responses to Chat Completions": (
        RESPONSES_TO_CHAT,
        (
            r.ResponsesRequest,
            r.ResponsesFunctionTool,
            r.ResponsesCustomTool,
            r.ResponsesMessage,
            r.ResponsesReasoning,
            r.ResponsesFunctionCall,
            r.ResponsesFunctionCallOutput,
            r.ResponsesCustomToolCall,
            r.ResponsesCustomToolCallOutput,
        ),
    ),
    "Chat Completions to Responses": (CHAT_TO_RESPONSES, (c.ChatCompletionRequest,)),
    "Converse to Chat Completions": (CONVERSE_TO_CHAT, (v.ConverseRequest,)),
    "Chat Completions to Converse": (CHAT_TO_CONVERSE, (c.ChatCompletionRequest,)),
    "a completion to a Converse answer": (COMPLETION_TO_CONVERSE, (c.ChatCompletion,)),
    "a Converse answer to a completion": (CONVERSE_TO_COMPLETION, (v.ConverseResponse,)),
    "a completion to a Message": (CHAT_TO_MESSAGE, (c.ChatCompletion,)),
    "a Message to a completion": (MESSAGE_TO_CHAT, (m.Message,)),
    "a completion to a Response": (CHAT_TO_RESPONSE, (c.ChatCompletion,)),
    "a Response to a completion": (
        RESPONSE_TO_CHAT,
        (r.Response, r.ResponseMessage, r.ResponseReasoning, r.ResponseFunctionCall, r.ResponseCustomToolCall),
    ),
    "generateContent to Chat Completions": (GEMINI_TO_CHAT, (g.GeminiRequest,)),
    "Chat Completions to generateContent": (CHAT_TO_GEMINI, (c.ChatCompletionRequest,)),
    "a completion to an answer of Gemini": (CHAT_TO_GEMINI_ANSWER, (c.ChatCompletion,)),
    "an answer of Gemini to a completion": (GEMINI_TO_COMPLETION, (g.GeminiAnswer,)),
    "embeddings to Gemini": (EMBEDDINGS_TO_GEMINI, (o.EmbeddingsRequest,)),
    "embeddings to Cohere": (EMBEDDINGS_TO_COHERE, (o.EmbeddingsRequest,)),
    "embedContent to embeddings": (GEMINI_TO_EMBEDDINGS, (g.GeminiEmbedRequest,)),
    "embeddings of Gemini to OpenAI": (GEMINI_EMBEDDINGS_TO_OPENAI, (g.GeminiEmbeddings, g.GeminiEmbedding)),
    "embeddings of OpenAI to Gemini": (OPENAI_EMBEDDINGS_TO_GEMINI, (o.Embeddings,)),
}
every_direction = pytest.mark.parametrize(("rules", "roots"), DIRECTIONS.values(), ids=DIRECTIONS)


@every_direction
def test_every_field_of_every_model_has_a_rule(rules: tuple[Rule, ...], roots: tuple[type, ...]) -> None:
    assert not _without_rules(rules, *roots)


@every_direction
def test_every_rule_is_about_a_field_that_exists(rules: tuple[Rule, ...], roots: tuple[type, ...]) -> None:
    known = {*_models(*roots)}
    for rule in rules:
        assert rule.model in known, rule
        assert rule.field is None or rule.field in rule.model.__struct_fields__, rule


@every_direction
def test_no_field_has_two_rules(rules: tuple[Rule, ...], roots: tuple[type, ...]) -> None:
    assert roots
    places = [(rule.model, rule.field) for rule in rules]
    assert len(places) == len(set(places))


@every_direction
def test_every_capability_that_a_rule_names_is_in_the_table_of_targets(
    rules: tuple[Rule, ...], roots: tuple[type, ...]
) -> None:
    assert roots
    named = {rule.action.capability for rule in rules if isinstance(rule.action, MappedIfSupported)}
    assert named <= set(ServerCapabilities.__struct_fields__)


# ---------------------------------------------------------------- the code does what the rules say

BASE64 = {"type": "base64", "media_type": "image/png", "data": "AA=="}

# Where each model stands in a request: from fields of the model to fields of the request.
PLACES: dict[type, Callable[[Json], Json]] = {
    m.MessageParams: lambda x: x,
    m.OutputConfig: lambda x: {"output_config": {"effort": "low"} | x},
    m.ThinkingEnabled: lambda x: {"thinking": {"type": "enabled", "budget_tokens": 1024} | x},
    m.ThinkingAdaptive: lambda x: {"thinking": {"type": "adaptive"} | x},
    m.CustomTool: lambda x: {"tools": [tool(**x)]},
    m.SystemMessageParam: lambda x: {"messages": [rows.USER_TURN, {"role": "system", "content": "a"} | x]},
    m.TextBlockParam: lambda x: {"messages": [user(text("a", **x))]},
    m.ImageBlockParam: lambda x: {"messages": [user({"type": "image", "source": BASE64} | x)]},
    m.ThinkingBlockParam: lambda x: {
        "messages": [assistant({"type": "thinking", "thinking": "a", "signature": ""} | x), rows.USER_TURN]
    },
    m.ToolUseBlockParam: lambda x: {"messages": [assistant(tool_use(**x)), rows.USER_TURN]},
    m.ToolResultBlockParam: lambda x: {"messages": [user(tool_result(**x))]},
    m.CacheControl: lambda x: {"cache_control": {"type": "ephemeral"} | x},
}

# A value for each field that is refused or a hint; by its name, as the same name always has the same type.
VALUES: dict[str, object] = {
    "billing_policy": {"bill_to": "user_profile"},
    "block_binding": {"prefix_mismatch_behavior": "error"},
    "cache_control": {"type": "ephemeral", "ttl": "1h"},
    "citations": [{"type": "char_location"}],
    "clear_at": "next_user_message",
    "compaction": {"type": "auto"},
    "container": "container_1",
    "context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]},
    "defer_loading": True,
    "diagnostics": {"previous_message_id": "msg_1"},
    "display": "summarized",
    "eager_input_streaming": True,
    "fallback_credit_token": "token",
    "fallbacks": "default",
    "inference_geo": "eu",
    "input_examples": [{"query": "x"}],
    "output_config": {"effort": "high"},
    "mcp_servers": [{"type": "url", "url": "https://mcp.example", "name": "m"}],
    "signature": "c2ln",
    "speed": "fast",
    "stream": True,
    "task_budget": {"type": "tokens", "total": 1000},
    "thread": {"id": "thread_1"},
    "toolset_name": "browser",
    "transformations": {"oversized_image": "error"},
    "ttl": "5m",
    "type": "ephemeral",
    "user_profile_id": "profile_1",
    "workspace_id": "wrkspc_1",
}


def _fields_with(action: type) -> list[Any]:
    found = [r for r in MESSAGES_TO_CHAT if isinstance(r.action, action) and r.field is not None]
    return [pytest.param(rule, id=f"{rule.model.__name__}.{rule.field}") for rule in found]


def _request(rule: Rule, value: object) -> Json:
    return PLACES[rule.model]({rule.field or "": value})


@pytest.mark.parametrize("rule", _fields_with(Rejected))
def test_a_rejected_field_raises_an_error_with_its_path_and_reason(rule: Rule) -> None:
    assert isinstance(rule.action, Rejected)
    assert rule.field
    with pytest.raises(Untranslatable) as caught:
        translate(VLLM, **_request(rule, VALUES[rule.field]))
    assert caught.value.field.rpartition(".")[2] == rule.field
    assert caught.value.reason == rule.action.reason
    assert caught.value.kind == "invalid_request_error"


@pytest.mark.parametrize("rule", _fields_with(Rejected))
def test_a_rejected_field_that_is_empty_is_ignored(rule: Rule) -> None:
    assert translate(VLLM, **_request(rule, None)) == translate(VLLM, **PLACES[rule.model]({}))


@pytest.mark.parametrize("rule", _fields_with(Ignored))
def test_an_ignored_field_does_not_change_the_translated_request(rule: Rule) -> None:
    assert rule.field
    assert translate(VLLM, **_request(rule, VALUES[rule.field])) == translate(VLLM, **PLACES[rule.model]({}))


RAW: Json = {"a": 1}
REFUSED_BLOCKS: dict[type, Json] = {
    m.DocumentBlockParam: {"type": "document", "source": RAW},
    m.SearchResultBlockParam: {"type": "search_result", "source": "s", "title": "t", "content": []},
    m.RedactedThinkingBlockParam: {"type": "redacted_thinking", "data": "d"},
    m.ServerToolUseBlockParam: {"type": "server_tool_use", "id": "i", "name": "web_search", "input": RAW},
    m.WebSearchToolResultBlockParam: {"type": "web_search_tool_result", "tool_use_id": "i", "content": []},
    m.WebFetchToolResultBlockParam: {"type": "web_fetch_tool_result", "tool_use_id": "i", "content": RAW},
    m.CodeExecutionToolResultBlockParam: {"type": "code_execution_tool_result", "tool_use_id": "i", "content": RAW},
    m.BashCodeExecutionToolResultBlockParam: {
        "type": "bash_code_execution_tool_result",
        "tool_use_id": "i",
        "content": RAW,
    },
    m.TextEditorCodeExecutionToolResultBlockParam: {
        "type": "text_editor_code_execution_tool_result",
        "tool_use_id": "i",
        "content": RAW,
    },
    m.ToolSearchToolResultBlockParam: {"type": "tool_search_tool_result", "tool_use_id": "i", "content": RAW},
    m.AdvisorToolResultBlockParam: {"type": "advisor_tool_result", "tool_use_id": "i", "content": RAW},
    m.McpToolUseBlockParam: {"type": "mcp_tool_use", "id": "i", "name": "n", "server_name": "s", "input": RAW},
    m.McpToolResultBlockParam: {"type": "mcp_tool_result", "tool_use_id": "i"},
    m.McpToolListingBlockParam: {"type": "mcp_tool_listing", "mcp_server_name": "s", "tools": []},
    m.ContainerUploadBlockParam: {"type": "container_upload", "file_id": "f"},
    m.CompactionBlockParam: {"type": "compaction", "content": "c"},
    m.FallbackBlockParam: {"type": "fallback", "to": RAW},
    m.ToolAdditionBlockParam: {"type": "tool_addition", "tool": RAW},
    m.ToolRemovalBlockParam: {"type": "tool_removal", "tool": RAW},
}
IN_TOOL_RESULTS: dict[type, Json] = {
    m.ToolReferenceBlockParam: {"type": "tool_reference", "tool_name": "t"},
    m.BrowserStateBlockParam: {"type": "browser_state", "tabs": []},
    m.DocumentBlockParam: {"type": "document", "source": RAW},
    m.SearchResultBlockParam: {"type": "search_result", "source": "s", "title": "t", "content": []},
}
NOT_BLOCKS = {m.ContainerParams, m.FileImageSource, m.ThinkingBetweenTools}


def _reasons() -> dict[type, str]:
    found = {r.model: r.action for r in MESSAGES_TO_CHAT if r.field is None}
    return {model: action.reason for model, action in found.items() if isinstance(action, Rejected)}


def test_every_refused_model_is_tried_somewhere() -> None:
    assert set(_reasons()) == REFUSED_BLOCKS.keys() | IN_TOOL_RESULTS.keys() | NOT_BLOCKS


@pytest.mark.parametrize("model", REFUSED_BLOCKS)
@pytest.mark.parametrize("turn", [user, assistant])
def test_a_refused_block_is_refused_in_every_turn(model: type, turn: Callable[..., Json]) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(VLLM, messages=[turn(text("a"), REFUSED_BLOCKS[model]), rows.USER_TURN])
    assert str(caught.value) == f"messages.0.content.1: {_reasons()[model]}"


@pytest.mark.parametrize("model", IN_TOOL_RESULTS)
def test_a_refused_block_is_refused_in_the_result_of_a_tool(model: type) -> None:
    with pytest.raises(Untranslatable) as caught:
        translate(VLLM, messages=[user(tool_result(content=[text("a"), IN_TOOL_RESULTS[model]]))])
    assert str(caught.value) == f"messages.0.content.0.content.1: {_reasons()[model]}"
