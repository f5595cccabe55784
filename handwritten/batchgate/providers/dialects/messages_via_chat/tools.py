"""Translates tools and tool choices: Messages to Chat Completions."""

from __future__ import annotations

from typing import Final, assert_never

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.messages_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import messages as m

_TOOL: Final = msgspec.json.Decoder(m.CustomTool)
_KIND: Final = msgspec.json.Decoder(m.ToolKind)
_CUSTOM: Final = (UNSET, None, "custom")
_DIRECT: Final[tuple[object, ...]] = (UNSET, None, [], ["direct"])


def chat_tools(tools: list[Raw] | UnsetType | None, target: ServerCapabilities) -> list[c.ChatTool] | UnsetType:
    """Translate custom tools to functions; raises `Untranslatable` for a built-in tool of Anthropic."""
    if not tools:
        return UNSET
    return [_function(_custom_tool(raw, f"tools.{index}"), f"tools.{index}", target) for index, raw in enumerate(tools)]


def chat_tool_choice(
    choice: m.ToolChoice | UnsetType | None, target: ServerCapabilities
) -> c.ChatToolChoiceMode | c.ChatFunctionToolChoice | UnsetType:
    """Translate the tool choice."""
    match choice:
        case m.ToolChoiceAuto():
            return "auto" if target.tool_choice else UNSET
        case None | UnsetType():
            return UNSET
        case _ if not target.tool_choice:
            raise Untranslatable("tool_choice", f"{target.name} does not support tool_choice; use auto or leave it out")
        case m.ToolChoiceAny():
            return "required"
        case m.ToolChoiceTool(name=name):
            return c.ChatFunctionToolChoice(function=c.ChatFunctionName(name=name))
        case m.ToolChoiceNone():
            return "none"
        case _:
            assert_never(choice)


def parallel_tool_calls(choice: m.ToolChoice | UnsetType | None, target: ServerCapabilities) -> bool | UnsetType:
    """Return False if an answer may have at most one tool call; in both dialects, the default is any number."""
    match choice:
        case m.ToolChoiceAuto() | m.ToolChoiceAny() | m.ToolChoiceTool() if choice.disable_parallel_tool_use is True:
            if target.parallel_tool_calls:
                return False
            raise Untranslatable(
                "tool_choice.disable_parallel_tool_use",
                f"{target.name} cannot limit an answer to one tool call; leave it out",
            )
        case _:
            return UNSET


def _custom_tool(raw: Raw, path: str) -> m.CustomTool:
    try:
        tool = _TOOL.decode(raw)
    except msgspec.ValidationError as error:
        _reject_provider_tool(raw, path)
        raise RequestError("invalid_request_error", str(describe_validation_error(error).with_prefix(path))) from error
    if tool.type not in _CUSTOM:
        raise _provider_tool(tool.type, path)
    return tool


def _reject_provider_tool(raw: Raw, path: str) -> None:
    """Raise the more specific error if an invalid custom tool is a built-in tool of Anthropic."""
    try:
        kind = _KIND.decode(raw).type
    except msgspec.ValidationError:
        return
    if kind not in _CUSTOM:
        raise _provider_tool(kind, path)


def _provider_tool(kind: object, path: str) -> Untranslatable:
    return Untranslatable(path, f"{kind} is a built-in tool of Anthropic; declare a custom tool and run it yourself")


def _function(tool: m.CustomTool, path: str, target: ServerCapabilities) -> c.ChatFunctionTool:
    REJECTED.check(tool, path)
    if tool.allowed_callers not in _DIRECT:
        raise Untranslatable(f"{path}.allowed_callers", "only direct calls by the model are supported")
    if tool.strict and not target.strict_tools:
        raise Untranslatable(f"{path}.strict", f"{target.name} does not enforce the schema; leave it out")
    return c.ChatFunctionTool(
        function=c.ChatFunctionDefinition(
            name=tool.name,
            description=tool.description or UNSET,
            parameters=tool.input_schema,
            strict=True if tool.strict else UNSET,
        )
    )
