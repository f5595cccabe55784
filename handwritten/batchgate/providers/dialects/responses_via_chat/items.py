"""Translates input items of Responses to messages of Chat Completions.

The items of one assistant turn (reasoning, text, tool calls) become one message.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.responses_via_chat.parts import assistant_content, text_content, user_content
from batchgate.providers.dialects.responses_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.rules import is_empty
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import responses as r

_KIND: Final = msgspec.json.Decoder(r.ResponsesKind)


class _AssistantTurn(Struct):
    """The content of an assistant message by field, added in this order."""

    thoughts: list[str]
    content: str | list[c.ChatAssistantContentPart] | None
    calls: list[c.ChatToolCallParam]


class MessageBuilder:
    """Builds messages from items, for the server ``target``."""

    def __init__(self, target: ServerCapabilities) -> None:
        self._target = target
        self._messages: list[c.ChatMessageParam] = []
        self._turn: _AssistantTurn | None = None

    def add(self, raw: Raw, path: str) -> None:
        """Add an item; raises `RequestError` with the path of an invalid or unsupported part."""
        try:
            kind = _KIND.decode(raw).type or "message"
            found = _ITEMS.get(kind)
            if found is None:
                reason = f"{kind} items are specific to OpenAI; leave the item out"
                raise Untranslatable(path, reason)
            decoder, add = found
            item = decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise RequestError(
                "invalid_request_error", str(describe_validation_error(error).with_prefix(path))
            ) from error
        REJECTED.check(item, path)
        add(self, item, path)

    def build(self) -> list[c.ChatMessageParam]:
        """Return all messages."""
        self._end_turn()
        return self._messages

    def add_message(self, item: r.ResponsesMessage, path: str) -> None:
        """Add a message of any role."""
        content, path = item.content, f"{path}.content"
        if item.role == "assistant":
            self._start_turn(path).content = assistant_content(content, path, self._target)
            return
        self._end_turn()
        if item.role == "user":
            self._messages.append(c.ChatUserMessage(content=user_content(content, path, self._target)))
        elif item.role == "developer" and self._target.openai_fields:
            self._messages.append(c.ChatDeveloperMessage(content=text_content(content, path, self._target)))
        else:
            self._messages.append(c.ChatSystemMessage(content=text_content(content, path, self._target)))

    def add_reasoning(self, item: r.ResponsesReasoning, path: str) -> None:
        """Add reasoning to the next assistant message."""
        if self._target.reasoning_field is None:
            name = self._target.name
            raise Untranslatable(
                path, f"{name} does not accept the model's earlier reasoning; leave reasoning items out"
            )
        if not item.content:
            raise Untranslatable(f"{path}.content", "Field required; only OpenAI can look reasoning up by its id")
        self._start_turn(path).thoughts.extend(part.text for part in item.content)

    def add_call(self, item: r.ResponsesFunctionCall | r.ResponsesCustomToolCall, path: str) -> None:
        """Add a tool call to the assistant message."""
        _check_caller(item.caller, path)
        turn = self._turn or self._start_turn(path)
        if isinstance(item, r.ResponsesFunctionCall):
            function = c.ChatFunctionCall(name=item.name, arguments=item.arguments)
            turn.calls.append(c.ChatFunctionToolCallParam(id=item.call_id, function=function))
            return
        check_custom_tools(path, self._target)
        custom = c.ChatCustomCall(name=item.name, input=item.input)
        turn.calls.append(c.ChatCustomToolCallParam(id=item.call_id, custom=custom))

    def add_output(self, item: r.ResponsesFunctionCallOutput | r.ResponsesCustomToolCallOutput, path: str) -> None:
        """Add the output of a tool call."""
        _check_caller(item.caller, path)
        self._end_turn()
        content = text_content(item.output, f"{path}.output", self._target)
        self._messages.append(c.ChatToolMessage(content=content, tool_call_id=item.call_id))

    def _start_turn(self, path: str) -> _AssistantTurn:
        """Return the assistant turn to which reasoning or text can be added, and start a new one if needed."""
        if self._turn is not None and self._turn.calls:
            raise Untranslatable(path, "should come before the tool calls of the same turn")
        if self._turn is None or self._turn.content is not None:
            self._end_turn()
            self._turn = _AssistantTurn([], None, [])
        return self._turn

    def _end_turn(self) -> None:
        if self._turn is None:
            return
        thought = "\n".join(self._turn.thoughts) or UNSET
        field = self._target.reasoning_field
        self._messages.append(
            c.ChatAssistantMessage(
                content=self._turn.content,
                tool_calls=self._turn.calls or UNSET,
                reasoning=thought if field == "reasoning" else UNSET,
                reasoning_content=thought if field == "reasoning_content" else UNSET,
            )
        )
        self._turn = None


def chat_messages(
    instructions: str | UnsetType | None, items: str | Sequence[Raw], target: ServerCapabilities
) -> list[c.ChatMessageParam]:
    """Translate instructions and input; raises `RequestError` with the path of an invalid or unsupported part."""
    first: list[c.ChatMessageParam] = [c.ChatSystemMessage(content=instructions)] if instructions else []
    if isinstance(items, str):
        return [*first, c.ChatUserMessage(content=items)]
    messages = MessageBuilder(target)
    for index, item in enumerate(items):
        messages.add(item, f"input.{index}")
    return [*first, *messages.build()]


def check_custom_tools(path: str, target: ServerCapabilities) -> None:
    """Raise `Untranslatable` if the server does not support custom tools."""
    if not target.openai_fields:
        raise Untranslatable(path, f"{target.name} does not support custom tools; declare a function instead")


def _check_caller(caller: Raw | UnsetType, path: str) -> None:
    if not is_empty(caller) and (not isinstance(caller, Raw) or _KIND.decode(caller).type != "direct"):
        raise Untranslatable(f"{path}.caller", "only direct calls by the model are supported")


_Add = Callable[[MessageBuilder, Any, str], None]

_ITEMS: Final[dict[str, tuple[msgspec.json.Decoder[Any], _Add]]] = {
    "message": (msgspec.json.Decoder(r.ResponsesMessage), MessageBuilder.add_message),
    "reasoning": (msgspec.json.Decoder(r.ResponsesReasoning), MessageBuilder.add_reasoning),
    "function_call": (msgspec.json.Decoder(r.ResponsesFunctionCall), MessageBuilder.add_call),
    "custom_tool_call": (msgspec.json.Decoder(r.ResponsesCustomToolCall), MessageBuilder.add_call),
    "function_call_output": (msgspec.json.Decoder(r.ResponsesFunctionCallOutput), MessageBuilder.add_output),
    "custom_tool_call_output": (msgspec.json.Decoder(r.ResponsesCustomToolCallOutput), MessageBuilder.add_output),
}
"""The decoder and the method of `MessageBuilder` for each item type."""
