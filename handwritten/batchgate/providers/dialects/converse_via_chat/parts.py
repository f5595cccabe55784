"""Translates single blocks of Converse to parts, calls and tool messages of Chat Completions."""

from __future__ import annotations

from typing import Final

from msgspec import UNSET, Raw, UnsetType

from batchgate.engine.model.errors import Untranslatable
from batchgate.providers.dialects.chat_messages import simplest_text
from batchgate.providers.dialects.chat_via_converse.sources import DOCUMENT_TYPES
from batchgate.providers.dialects.converse_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.data_urls import DataUrl
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import converse as v
from batchgate_api.structs import OpenStruct

_ABSENT: Final = (UNSET, None, Raw(b"null"))
_MEDIA_TYPES: Final = {document_format: media_type for media_type, document_format in DOCUMENT_TYPES.items()}


def check_one_field(union: OpenStruct, path: str) -> None:
    """Reject a block or a choice that has not exactly one field: Bedrock rejects it, and the others would be lost."""
    given = [name for name in union.__struct_fields__ if getattr(union, name) not in _ABSENT]
    if len(given) != 1:
        raise Untranslatable(path, f"should have exactly one field, not {', '.join(given) or 'none'}")


def image_part(image: v.ConverseImage, path: str) -> c.ChatImagePart:
    """Translate an image; raises `Untranslatable` for one in a bucket."""
    REJECTED.check(image, path)
    REJECTED.check(image.source, f"{path}.source")
    url = DataUrl(f"image/{image.format}", _bytes(image.source.bytes, path))
    return c.ChatImagePart(image_url=c.ChatImageUrl(url=str(url)))


def file_part(document: v.ConverseDocument, path: str, target: ServerCapabilities) -> c.ChatFilePart:
    """Translate a document; raises `Untranslatable` for one in a bucket, and for a server that accepts no files."""
    REJECTED.check(document, path)
    REJECTED.check(document.source, f"{path}.source")
    if not target.openai_fields:
        raise Untranslatable(path, f"{target.name} is not known to accept files; send the document as text")
    if not document.format:
        raise Untranslatable(f"{path}.format", "Field required")
    url = DataUrl(_MEDIA_TYPES[document.format], _bytes(document.source.bytes, path))
    return c.ChatFilePart(file=c.ChatFile(file_data=str(url), filename=document.name))


def _bytes(data: str | UnsetType | None, path: str) -> str:
    if not data:
        raise Untranslatable(f"{path}.source.bytes", "Field required")
    return data


def tool_message(result: v.ConverseToolResult, path: str) -> c.ChatToolMessage:
    """Translate the result of a tool; that of a failed one begins with the word Error."""
    REJECTED.check(result, path)
    texts = [_result_text(block, f"{path}.content.{index}") for index, block in enumerate(result.content)]
    if result.status == "error":
        texts = [f"Error: {texts[0]}" if texts and texts[0] else "Error", *texts[1:]]
    content = simplest_text([c.ChatTextPart(text=text) for text in texts])
    return c.ChatToolMessage(content=content, tool_call_id=result.toolUseId)


def _result_text(block: v.ConverseToolResultBlock, path: str) -> str:
    REJECTED.check(block, path)
    check_one_field(block, path)
    if isinstance(block.text, str):
        return block.text
    return "" if isinstance(block.json, UnsetType) else bytes(block.json).decode()


def tool_call(use: v.ConverseToolUse, path: str) -> c.ChatFunctionToolCallParam:
    """Translate a tool call of the model."""
    REJECTED.check(use, path)
    arguments = bytes(use.input).decode()
    if not arguments.startswith("{"):
        raise Untranslatable(f"{path}.input", "Input should be an object")
    return c.ChatFunctionToolCallParam(
        id=use.toolUseId, function=c.ChatFunctionCall(name=use.name, arguments=arguments)
    )


def chat_tools(config: v.ConverseToolConfig, target: ServerCapabilities) -> list[c.ChatTool]:
    """Translate tools to functions; raises `Untranslatable` for a tool that Bedrock runs."""
    found: list[c.ChatTool] = []
    for index, tool in enumerate(config.tools):
        path = f"toolConfig.tools.{index}"
        REJECTED.check(tool, path)
        check_one_field(tool, path)
        if tool.toolSpec:
            found.append(_function(tool.toolSpec, f"{path}.toolSpec", target))
    return found


def _function(spec: v.ConverseToolSpec, path: str, target: ServerCapabilities) -> c.ChatFunctionTool:
    if spec.strict and not target.strict_tools:
        raise Untranslatable(f"{path}.strict", f"{target.name} does not enforce the schema; leave it out")
    return c.ChatFunctionTool(
        function=c.ChatFunctionDefinition(
            name=spec.name,
            description=spec.description or UNSET,
            parameters=spec.inputSchema.json,
            strict=True if spec.strict else UNSET,
        )
    )
