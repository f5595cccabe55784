"""Translates tools and tool choices: Chat Completions to Responses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RequestError
from batchgate.providers.dialects.rules import unset_if_null
from batchgate_api import chat_completions as c
from batchgate_api import responses as r


class _Grammar(Struct, frozen=True):
    definition: str
    syntax: str


class _Format(Struct, frozen=True):
    """The input format of a custom tool, which spec/chat_completions.yaml leaves raw."""

    type: str
    grammar: _Grammar | None = None


class _AllowedTool(Struct, frozen=True):
    """An allowed tool, which spec/chat_completions.yaml leaves raw."""

    type: str
    function: c.ChatFunctionName | None = None
    custom: c.ChatFunctionName | None = None


_FORMAT: Final = msgspec.json.Decoder(_Format)
_ALLOWED_TOOL: Final = msgspec.json.Decoder(_AllowedTool)
_NO_PARAMETERS: Final = Raw(b"null")


def responses_tools(tools: Sequence[c.ChatTool] | UnsetType | None) -> list[Raw] | UnsetType:
    """Translate all tools."""
    if not tools:
        return UNSET
    return [Raw(msgspec.json.encode(_tool(tool, f"tools.{index}"))) for index, tool in enumerate(tools)]


def _tool(tool: c.ChatTool, path: str) -> r.ResponsesFunctionTool | r.ResponsesCustomTool:
    match tool:
        case c.ChatFunctionTool(function=function):
            return r.ResponsesFunctionTool(
                type="function",
                name=function.name,
                description=unset_if_null(function.description),
                parameters=function.parameters or _NO_PARAMETERS,
                strict=bool(function.strict),
            )
        case c.ChatCustomTool(custom=custom):
            return r.ResponsesCustomTool(
                type="custom",
                name=custom.name,
                description=unset_if_null(custom.description),
                format=_format(custom.format, f"{path}.custom.format"),
            )
        case _:
            assert_never(tool)


def _format(raw: Raw | UnsetType, path: str) -> r.ResponsesToolFormat | UnsetType:
    if not raw or bytes(raw) == b"null":
        return UNSET
    try:
        described = _FORMAT.decode(raw)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_request_error", str(describe_validation_error(error).with_prefix(path))) from error
    grammar = described.grammar
    return r.ResponsesToolFormat(
        type=described.type,
        definition=grammar.definition if grammar else UNSET,
        syntax=grammar.syntax if grammar else UNSET,
    )


def responses_tool_choice(
    choice: c.ChatToolChoiceMode | c.ChatNamedToolChoice | UnsetType | None,
) -> r.ResponsesToolChoiceMode | r.ResponsesNamedToolChoice | UnsetType:
    """Translate the tool choice."""
    match choice:
        case None | UnsetType():
            return UNSET
        case c.ChatFunctionToolChoice(function=function):
            return r.ResponsesNamedToolChoice(type="function", name=function.name)
        case c.ChatCustomToolChoice(custom=custom):
            return r.ResponsesNamedToolChoice(type="custom", name=custom.name)
        case c.ChatAllowedToolsChoice(allowed_tools=allowed):
            tools = [_allowed_tool(raw, f"tool_choice.allowed_tools.tools.{i}") for i, raw in enumerate(allowed.tools)]
            return r.ResponsesNamedToolChoice(type="allowed_tools", mode=allowed.mode, tools=tools)
        case mode:
            return mode


def _allowed_tool(raw: Raw, path: str) -> r.ResponsesNamedTool:
    try:
        tool = _ALLOWED_TOOL.decode(raw)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_request_error", str(describe_validation_error(error).with_prefix(path))) from error
    named = tool.function or tool.custom
    return r.ResponsesNamedTool(type=tool.type, name=named.name if named else UNSET)
