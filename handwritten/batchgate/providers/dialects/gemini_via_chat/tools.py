"""Translates tools and their configuration: Gemini to Chat Completions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import UNSET, Raw, UnsetType, structs

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.gemini_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.gemini_via_chat.schemas import json_schema
from batchgate.providers.dialects.rules import is_empty, unset_if_null
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import gemini as g

_MODES: Final[dict[str, c.ChatToolChoiceMode]] = {
    "AUTO": "auto",
    "VALIDATED": "auto",
    "MODE_UNSPECIFIED": "auto",
    "ANY": "required",
    "NONE": "none",
}


def chat_tools(tools: list[g.GeminiTool] | UnsetType | None) -> list[c.ChatTool] | UnsetType:
    """Translate the declared functions; raises `Untranslatable` for a tool that Google runs."""
    declared = [*_declared(tools or [])]
    return [_function(declaration, path) for declaration, path in declared] or UNSET


def _declared(tools: list[g.GeminiTool]) -> Iterator[tuple[g.GeminiFunctionDeclaration, str]]:
    for index, tool in enumerate(tools):
        path = f"tools.{index}"
        for field in structs.fields(tool):
            # An empty object says that the tool is to be used.
            if field.name != "functionDeclarations" and _is_set(getattr(tool, field.name)):
                raise Untranslatable(f"{path}.{field.encode_name}", REJECTED.reason(g.GeminiTool, field.name))
        for position, declaration in enumerate(tool.functionDeclarations or ()):
            yield declaration, f"{path}.functionDeclarations.{position}"


def _is_set(value: Raw | UnsetType) -> bool:
    return isinstance(value, Raw) and bytes(value) not in {b"null", b"false", b"[]"}


def _function(declaration: g.GeminiFunctionDeclaration, path: str) -> c.ChatFunctionTool:
    REJECTED.check(declaration, path)
    parameters = declaration.parametersJsonSchema
    if not is_empty(declaration.parameters):
        if not is_empty(parameters):
            raise Untranslatable(f"{path}.parameters", "parametersJsonSchema is set too; leave one out")
        assert isinstance(declaration.parameters, Raw)
        parameters = json_schema(declaration.parameters)
    return c.ChatFunctionTool(
        function=c.ChatFunctionDefinition(
            name=declaration.name,
            description=unset_if_null(declaration.description),
            parameters=UNSET if isinstance(parameters, Raw) and bytes(parameters) == b"null" else parameters,
        )
    )


def chat_tool_choice(
    request: g.GeminiRequest, target: ServerCapabilities
) -> c.ChatToolChoiceMode | c.ChatNamedToolChoice | UnsetType:
    """Translate the tool configuration."""
    if not request.toolConfig:
        return UNSET
    REJECTED.check(request.toolConfig, "toolConfig")
    config = request.toolConfig.functionCallingConfig
    if not config:
        return UNSET
    path = "toolConfig.functionCallingConfig"
    word = config.mode or "AUTO"
    if word not in _MODES:
        raise Untranslatable(f"{path}.mode", f"should be AUTO, ANY, NONE or VALIDATED, not {word!r}")
    mode, names = _MODES[word], config.allowedFunctionNames or []
    if mode == "auto" and not names:
        return "auto" if target.tool_choice and request.tools else UNSET
    if not target.tool_choice:
        raise Untranslatable(f"{path}.mode", f"{target.name} does not support tool_choice; use AUTO or leave it out")
    return _named(names, target, path) if names and mode == "required" else _unnamed(mode, names, path)


def _unnamed(mode: c.ChatToolChoiceMode, names: list[str], path: str) -> c.ChatToolChoiceMode:
    if names:
        raise Untranslatable(f"{path}.allowedFunctionNames", "Chat Completions has them only with ANY; leave them out")
    return mode


def _named(names: list[str], target: ServerCapabilities, path: str) -> c.ChatNamedToolChoice:
    if len(names) == 1:
        return c.ChatFunctionToolChoice(function=c.ChatFunctionName(name=names[0]))
    if not target.openai_fields:
        reason = f"{target.name} accepts one name; declare only the functions that are allowed"
        raise Untranslatable(f"{path}.allowedFunctionNames", reason)
    tools = [Raw(msgspec.json.encode(_allowed(name))) for name in names]
    return c.ChatAllowedToolsChoice(allowed_tools=c.ChatAllowedTools(mode="required", tools=tools))


def _allowed(name: str) -> c.ChatFunctionToolChoice:
    return c.ChatFunctionToolChoice(function=c.ChatFunctionName(name=name))
