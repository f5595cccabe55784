"""Translates tools and tool choices: Chat Completions to Converse."""

from __future__ import annotations

from typing import Final, assert_never

from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_via_converse.request_rules import REJECTED, TOOLS_NEEDED
from batchgate.providers.dialects.object_schema import object_schema
from batchgate.providers.dialects.rules import unset_if_null
from batchgate.providers.dialects.tool_names import fit_tool_name
from batchgate_api import chat_completions as c
from batchgate_api import converse as v

_EMPTY: Final = Raw(b"{}")


def tool_config(request: c.ChatCompletionRequest, *, has_tool_blocks: bool) -> v.ConverseToolConfig | UnsetType:
    """Translate the tools and the choice among them.

    Bedrock rejects a conversation with tool calls if it lists no tools, and has no choice ``none``: then the tools are
    left out, which is rejected if the conversation has calls.
    """
    choice = _tool_choice(request)
    _check_choice(request, choice, has_tool_blocks=has_tool_blocks)
    if not request.tools or request.tool_choice == "none":
        return UNSET
    tools = [v.ConverseTool(toolSpec=_tool_spec(tool, f"tools.{index}")) for index, tool in enumerate(request.tools)]
    return v.ConverseToolConfig(tools=tools, toolChoice=choice)


def _check_choice(
    request: c.ChatCompletionRequest, choice: v.ConverseToolChoice | UnsetType, *, has_tool_blocks: bool
) -> None:
    if not request.tools:
        if has_tool_blocks:
            raise Untranslatable("tools", TOOLS_NEEDED)
        if choice and choice.auto is UNSET:
            raise Untranslatable("tool_choice", "there are no tools to choose from")
    elif request.parallel_tool_calls is False:
        raise Untranslatable("parallel_tool_calls", "Converse always allows several calls at once; leave it out")
    elif has_tool_blocks and request.tool_choice == "none":
        raise Untranslatable("tool_choice", "Converse has no choice none after a tool call; use auto")


def _tool_spec(tool: c.ChatTool, path: str) -> v.ConverseToolSpec:
    if not isinstance(tool, c.ChatFunctionTool):
        raise REJECTED.error(tool, path)
    function = tool.function
    schema = object_schema(function.parameters, f"{path}.function.parameters")
    return v.ConverseToolSpec(
        name=fit_tool_name(function.name, f"{path}.function.name"),
        description=unset_if_null(function.description) or UNSET,
        inputSchema=v.ConverseInputSchema(json=schema),
        strict=True if function.strict else UNSET,
    )


def _tool_choice(request: c.ChatCompletionRequest) -> v.ConverseToolChoice | UnsetType:
    match request.tool_choice:
        case None | UnsetType() | "none":
            return UNSET
        case "auto":
            return v.ConverseToolChoice(auto=_EMPTY)
        case "required":
            return v.ConverseToolChoice(any=_EMPTY)
        case c.ChatFunctionToolChoice(function=function):
            name = fit_tool_name(function.name, "tool_choice.function.name")
            return v.ConverseToolChoice(tool=v.ConverseNamedTool(name=name))
        case c.ChatCustomToolChoice() | c.ChatAllowedToolsChoice():
            raise REJECTED.error(request.tool_choice, "tool_choice")
        case _:
            assert_never(request.tool_choice)
