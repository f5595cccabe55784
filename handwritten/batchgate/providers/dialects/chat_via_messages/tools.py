"""Translates tools and tool choices: Chat Completions to Messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

import msgspec
from msgspec import UNSET, Raw, UnsetType

from batchgate.providers.dialects.chat_via_messages.request_rules import REJECTED
from batchgate.providers.dialects.object_schema import object_schema
from batchgate.providers.dialects.rules import unset_if_null
from batchgate_api import chat_completions as c
from batchgate_api import messages as m


def custom_tools(tools: Sequence[c.ChatTool] | UnsetType | None) -> list[Raw] | UnsetType:
    """Translate functions to Messages tools; raises `Untranslatable` for custom tools of OpenAI."""
    if not tools:
        return UNSET
    return [Raw(msgspec.json.encode(_custom_tool(tool, f"tools.{index}"))) for index, tool in enumerate(tools)]


def _custom_tool(tool: c.ChatTool, path: str) -> m.CustomTool:
    if not isinstance(tool, c.ChatFunctionTool):
        raise REJECTED.error(tool, path)
    function = tool.function
    return m.CustomTool(
        name=function.name,
        description=unset_if_null(function.description),
        input_schema=object_schema(function.parameters, f"{path}.function.parameters"),
        strict=True if function.strict else UNSET,
    )


def messages_tool_choice(request: c.ChatCompletionRequest) -> m.ToolChoice | UnsetType:
    """Translate the tool choice, and whether the model may call several tools at once.

    Anthropic rejects a choice without tools; ``auto`` and ``none`` mean nothing then.
    """
    single = True if request.parallel_tool_calls is False and request.tools else UNSET
    if not request.tools and isinstance(request.tool_choice, str) and request.tool_choice != "required":
        return UNSET
    match request.tool_choice:
        case None | UnsetType():
            return UNSET if single is UNSET else m.ToolChoiceAuto(disable_parallel_tool_use=single)
        case "auto":
            return m.ToolChoiceAuto(disable_parallel_tool_use=single)
        case "required":
            return m.ToolChoiceAny(disable_parallel_tool_use=single)
        case "none":
            return m.ToolChoiceNone()
        case c.ChatFunctionToolChoice(function=function):
            return m.ToolChoiceTool(name=function.name, disable_parallel_tool_use=single)
        case c.ChatCustomToolChoice() | c.ChatAllowedToolsChoice():
            raise REJECTED.error(request.tool_choice, "tool_choice")
        case _:
            assert_never(request.tool_choice)
