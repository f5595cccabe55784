"""Translates tools and tool choices: Chat Completions to Gemini."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.chat_via_gemini.request_rules import REJECTED
from batchgate.providers.dialects.rules import unset_if_null
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g


class _AllowedTool(Struct, frozen=True):
    """An allowed tool, which spec/chat_completions.yaml leaves raw."""

    type: str
    function: c.ChatFunctionName | None = None


_ALLOWED_TOOL: Final = msgspec.json.Decoder(_AllowedTool)
_MODES: Final[dict[c.ChatToolChoiceMode, str]] = {"auto": "AUTO", "required": "ANY", "none": "NONE"}


def gemini_tools(request: c.ChatCompletionRequest) -> list[g.GeminiTool] | UnsetType:
    """Translate functions to one tool; raises `Untranslatable` for custom tools of OpenAI."""
    if not request.tools:
        return UNSET
    if request.parallel_tool_calls is False:
        reason = "Gemini cannot limit an answer to one tool call; leave it out"
        raise Untranslatable("parallel_tool_calls", reason)
    declared = [_declaration(tool, f"tools.{index}") for index, tool in enumerate(request.tools)]
    return [g.GeminiTool(functionDeclarations=declared)]


def _declaration(tool: c.ChatTool, path: str) -> g.GeminiFunctionDeclaration:
    if not isinstance(tool, c.ChatFunctionTool):
        raise REJECTED.error(tool, path)
    function = tool.function
    REJECTED.check(function, f"{path}.function")
    schema = function.parameters
    return g.GeminiFunctionDeclaration(
        name=function.name,
        description=unset_if_null(function.description),
        parametersJsonSchema=UNSET if isinstance(schema, Raw) and bytes(schema) == b"null" else schema,
    )


def gemini_tool_config(request: c.ChatCompletionRequest) -> g.GeminiToolConfig | UnsetType:
    """Translate the tool choice."""
    match request.tool_choice:
        case None | UnsetType():
            return UNSET
        case "auto" | "none" if not request.tools:
            return UNSET
        case "auto" | "none" | "required" as mode:
            return _config(_MODES[mode])
        case c.ChatFunctionToolChoice(function=function):
            return _config("ANY", [function.name])
        case c.ChatAllowedToolsChoice(allowed_tools=allowed):
            return _config("ANY", _allowed_names(allowed))
        case c.ChatCustomToolChoice() as choice:
            raise REJECTED.error(choice, "tool_choice")


def _config(mode: str, names: list[str] | UnsetType = UNSET) -> g.GeminiToolConfig:
    return g.GeminiToolConfig(
        functionCallingConfig=g.GeminiFunctionCallingConfig(mode=mode, allowedFunctionNames=names)
    )


def _allowed_names(allowed: c.ChatAllowedTools) -> list[str]:
    if allowed.mode != "required":
        reason = "Gemini restricts the tools only with required; list only the allowed tools in tools"
        raise Untranslatable("tool_choice.allowed_tools.mode", reason)
    return [_name(raw, f"tool_choice.allowed_tools.tools.{index}") for index, raw in enumerate(allowed.tools)]


def _name(raw: Raw, path: str) -> str:
    try:
        tool = _ALLOWED_TOOL.decode(raw)
    except msgspec.ValidationError as error:
        raise RequestError("invalid_request_error", str(describe_validation_error(error).with_prefix(path))) from error
    if tool.function is None:
        raise Untranslatable(path, f"Gemini has no tools of the type {tool.type}; allow functions only")
    return tool.function.name
