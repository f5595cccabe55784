"""Translates the items of an input: Responses into the messages of Chat Completions.

What a model did in one turn is several items there, and one message here: the thought, the text and the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import describe
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.responses_via_chat.parts import assistant_content, text_content, user_content
from batchgate.providers.dialects.responses_via_chat.request_rules import REJECTED
from batchgate.providers.dialects.rules import is_empty
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import responses as r

_KIND: Final = msgspec.json.Decoder(r.ResponsesKind)


class _AssistantTurn(Struct):
    """What a message of the assistant is made of, filled in this order."""

    thoughts: list[str]
    content: str | list[c.ChatAssistantContentPart] | None
    calls: list[c.ChatToolCallParam]


class MessageBuilder:
    """Gathers messages as the items come; ``target`` decides what may be said."""

    def __init__(self, target: ServerCapabilities) -> None:
        self._target = target
        self._messages: list[c.ChatMessageParam] = []
        self._turn: _AssistantTurn | None = None

    def add(self, raw: Raw, path: str) -> None:
        """Add an item; raises `RequestError` that names the path of what is wrong or cannot be said."""
        try:
            kind = _KIND.decode(raw).type or "message"
            found = _ITEMS.get(kind)
            if found is None:
                reason = f"{kind} items belong to features of OpenAI's own; leave the item out"
                raise Untranslatable(path, reason)
            decoder, add = found
            item = decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise RequestError("invalid_request_error", str(describe(error).under(path))) from error
        REJECTED.check(item, path)
        add(self, item, path)

    def build(self) -> list[c.ChatMessageParam]:
        """Give all messages."""
        self._end_turn()
        return self._messages

    def add_message(self, item: r.ResponsesMessage, path: str) -> None:
        """Add a turn of any role."""
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
        """Add what the model thought, to stand before what it says next."""
        if self._target.reasoning_field is None:
            name = self._target.name
            raise Untranslatable(path, f"{name} cannot be told what the model thought; leave reasoning items out")
        if not item.content:
            raise Untranslatable(f"{path}.content", "should be there, as nobody else has the thought that this names")
        self._start_turn(path).thoughts.extend(part.text for part in item.content)

    def add_call(self, item: r.ResponsesFunctionCall | r.ResponsesCustomToolCall, path: str) -> None:
        """Add a call of a tool to the turn."""
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
        """Add what a tool answered."""
        _check_caller(item.caller, path)
        self._end_turn()
        content = text_content(item.output, f"{path}.output", self._target)
        self._messages.append(c.ChatToolMessage(content=content, tool_call_id=item.call_id))

    def _start_turn(self, path: str) -> _AssistantTurn:
        """Give the turn to which a thought or a text may still be added, or begin the next."""
        if self._turn is not None and self._turn.calls:
            raise Untranslatable(path, "should come before the calls of the turn")
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
    instructions: str | UnsetType | None, unset_if_null: str | Sequence[Raw], target: ServerCapabilities
) -> list[c.ChatMessageParam]:
    """Say the instructions and the input; raises `RequestError` with the path of what cannot be said."""
    first: list[c.ChatMessageParam] = [c.ChatSystemMessage(content=instructions)] if instructions else []
    if isinstance(unset_if_null, str):
        return [*first, c.ChatUserMessage(content=unset_if_null)]
    messages = MessageBuilder(target)
    for index, item in enumerate(unset_if_null):
        messages.add(item, f"input.{index}")
    return [*first, *messages.build()]


def check_custom_tools(path: str, target: ServerCapabilities) -> None:
    """Refuse what belongs to tools of free text where the target has none."""
    if not target.openai_fields:
        raise Untranslatable(path, f"{target.name} has no tools of free text; declare a function instead")


def _check_caller(caller: Raw | UnsetType, path: str) -> None:
    if not is_empty(caller) and (not isinstance(caller, Raw) or _KIND.decode(caller).type != "direct"):
        raise Untranslatable(f"{path}.caller", "only the model itself (direct) calls tools there")


_Add = Callable[[MessageBuilder, Any, str], None]

_ITEMS: Final[dict[str, tuple[msgspec.json.Decoder[Any], _Add]]] = {
    "message": (msgspec.json.Decoder(r.ResponsesMessage), MessageBuilder.add_message),
    "reasoning": (msgspec.json.Decoder(r.ResponsesReasoning), MessageBuilder.add_reasoning),
    "function_call": (msgspec.json.Decoder(r.ResponsesFunctionCall), MessageBuilder.add_call),
    "custom_tool_call": (msgspec.json.Decoder(r.ResponsesCustomToolCall), MessageBuilder.add_call),
    "function_call_output": (msgspec.json.Decoder(r.ResponsesFunctionCallOutput), MessageBuilder.add_output),
    "custom_tool_call_output": (msgspec.json.Decoder(r.ResponsesCustomToolCallOutput), MessageBuilder.add_output),
}
"""How items of each type are read and added."""
