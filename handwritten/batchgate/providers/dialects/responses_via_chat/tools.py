"""Translates tools and tool choices: Responses to Chat Completions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.responses_via_chat.items import check_custom_tools
from batchgate.providers.dialects.responses_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.rules import unset_if_null
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import responses as r

_KIND: Final = msgspec.json.Decoder(r.ResponsesKind)
_FUNCTION: Final = msgspec.json.Decoder(r.ResponsesFunctionTool)
_CUSTOM: Final = msgspec.json.Decoder(r.ResponsesCustomTool)
_DIRECT: Final[tuple[object, ...]] = (UNSET, None, [], ["direct"])


def chat_tools(tools: Sequence[Raw] | UnsetType | None, target: ServerCapabilities) -> list[c.ChatTool] | UnsetType:
    """Translate functions and custom tools; raises `Untranslatable` for a built-in tool of OpenAI."""
    return [_tool(raw, f"tools.{index}", target) for index, raw in enumerate(tools)] if tools else UNSET


def _tool(raw: Raw, path: str, target: ServerCapabilities) -> c.ChatTool:
    try:
        match _KIND.decode(raw).type:
            case "function":
                return _function(_FUNCTION.decode(raw), path, target)
            case "custom":
                return _custom_tool(_CUSTOM.decode(raw), path, target)
            case None | UnsetType():
                raise RequestError("invalid_request_error", f"{path}.type: Field required")
            case other:
                raise _provider_tool(other, path)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_request_error", str(describe_validation_error(error).with_prefix(path))) from error


def _provider_tool(kind: str, path: str) -> Untranslatable:
    return Untranslatable(path, f"{kind} is a built-in tool of OpenAI; declare a function and run it yourself")


def _check(tool: r.ResponsesFunctionTool | r.ResponsesCustomTool, path: str) -> None:
    REJECTED.check(tool, path)
    if tool.allowed_callers not in _DIRECT:
        raise Untranslatable(f"{path}.allowed_callers", "only direct calls by the model are supported")


def _function(tool: r.ResponsesFunctionTool, path: str, target: ServerCapabilities) -> c.ChatFunctionTool:
    _check(tool, path)
    if tool.strict and not target.strict_tools:
        raise Untranslatable(f"{path}.strict", f"{target.name} does not enforce the schema; set it to false")
    parameters = UNSET if not tool.parameters or bytes(tool.parameters) == b"null" else tool.parameters
    return c.ChatFunctionTool(
        function=c.ChatFunctionDefinition(
            name=tool.name,
            description=unset_if_null(tool.description),
            parameters=parameters,
            strict=True if tool.strict else UNSET,
        )
    )


def _custom_tool(tool: r.ResponsesCustomTool, path: str, target: ServerCapabilities) -> c.ChatCustomTool:
    _check(tool, path)
    check_custom_tools(path, target)
    return c.ChatCustomTool(
        custom=c.ChatCustomDefinition(
            name=tool.name, description=unset_if_null(tool.description), format=_format(tool.format, f"{path}.format")
        )
    )


def _format(described: r.ResponsesToolFormat | UnsetType | None, path: str) -> Raw | UnsetType:
    """Translate the input format of a custom tool; Chat Completions nests its grammar one level deeper."""
    if not described:
        return UNSET
    match described.type:
        case "text":
            return Raw(b'{"type":"text"}')
        case "grammar":
            grammar = {"definition": described.definition or "", "syntax": described.syntax or ""}
            return Raw(msgspec.json.encode({"type": "grammar", "grammar": grammar}))
        case _:
            raise Untranslatable(f"{path}.type", "should be text or grammar")


def chat_tool_choice(
    choice: r.ResponsesToolChoiceMode | r.ResponsesNamedToolChoice | UnsetType | None, target: ServerCapabilities
) -> c.ChatToolChoiceMode | c.ChatNamedToolChoice | UnsetType:
    """Translate the tool choice."""
    match choice:
        case None | UnsetType():
            return UNSET
        case "auto" if not target.tool_choice:
            return UNSET
        case _ if not target.tool_choice:
            reason = f"{target.name} does not support tool_choice; use auto or leave it out"
            raise Untranslatable("tool_choice", reason)
        case r.ResponsesNamedToolChoice():
            return _named_choice(choice, target)
        case mode:
            return mode


def _named_choice(choice: r.ResponsesNamedToolChoice, target: ServerCapabilities) -> c.ChatNamedToolChoice:
    REJECTED.check(choice, "tool_choice")
    match choice.type:
        case "function":
            return c.ChatFunctionToolChoice(function=_name(choice, "tool_choice"))
        case "custom":
            check_custom_tools("tool_choice", target)
            return c.ChatCustomToolChoice(custom=_name(choice, "tool_choice"))
        case "allowed_tools" if target.openai_fields:
            return c.ChatAllowedToolsChoice(allowed_tools=_allowed_tools(choice))
        case "allowed_tools":
            raise Untranslatable(
                "tool_choice", f"{target.name} has no such choice; list only the allowed tools in tools"
            )
        case other:
            raise _provider_tool(other, "tool_choice")


def _name(choice: r.ResponsesNamedToolChoice | r.ResponsesNamedTool, path: str) -> c.ChatFunctionName:
    if not choice.name:
        raise RequestError("invalid_request_error", f"{path}.name: Field required")
    return c.ChatFunctionName(name=choice.name)


def _allowed_tools(choice: r.ResponsesNamedToolChoice) -> c.ChatAllowedTools:
    tools: list[Raw] = []
    for index, tool in enumerate(choice.tools or ()):
        path = f"tool_choice.tools.{index}"
        REJECTED.check(tool, path)
        if tool.type not in {"function", "custom"}:
            raise _provider_tool(tool.type, path)
        tools.append(Raw(msgspec.json.encode({"type": tool.type, tool.type: {"name": _name(tool, path).name}})))
    return c.ChatAllowedTools(mode=choice.mode or "auto", tools=tools)
