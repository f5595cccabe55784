"""Translates the items of an input: Responses into the messages of Chat Completions.

What a model did in one turn is several items there, and one message here: the thought, the text and the calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from batchgate.engine.model.decoding_errors import describe_validation_error
from batchgate.engine.model.errors import RequestError, Untranslatable
from batchgate.providers.dialects.responses_via_chat.parts import assistant_content, text_content, user_content
from batchgate.providers.dialects.responses_via_chat.request_rules import REFUSALS
from batchgate.providers.dialects.rules import says_nothing
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate_api import chat_completions as c
from batchgate_api import responses as r

_KIND: Final = msgspec.json.Decoder(r.ResponsesKind)


class _AssistantTurn(Struct):
    """What a message of the assistant is made of, filled in this order."""

    thoughts: list[str]
    content: str | list[c.ChatAssistantContentPart] | None
    calls: list[c.ChatToolCallParam]


class Messages:
    """Gathers messages as the items come; ``target`` decides what may be said."""

    def __init__(self, target: ServerCapabilities) -> None:
        self._target = target
        self._said: list[c.ChatMessageParam] = []
        self._turn: _AssistantTurn | None = None

    def add(self, raw: Raw, at: str) -> None:
        """Add an item; raises `RequestError` that names the path of what is wrong or cannot be said."""
        try:
            kind = _KIND.decode(raw).type or "message"
            found = _ITEMS.get(kind)
            if found is None:
                reason = f"{kind} items belong to features of OpenAI's own; leave the item out"
                raise Untranslatable(at, reason)
            decoder, add = found
            item = decoder.decode(raw)
        except msgspec.ValidationError as error:
            raise RequestError(
                "invalid_request_error", str(describe_validation_error(error).with_prefix(at))
            ) from error
        REFUSALS.check(item, at)
        add(self, item, at)

    def whole(self) -> list[c.ChatMessageParam]:
        """Give all messages."""
        self._end_turn()
        return self._said

    def add_message(self, item: r.ResponsesMessage, at: str) -> None:
        """Add a turn of any role."""
        content, at = item.content, f"{at}.content"
        if item.role == "assistant":
            self._begin_turn(at).content = assistant_content(content, at, self._target)
            return
        self._end_turn()
        if item.role == "user":
            self._said.append(c.ChatUserMessage(content=user_content(content, at, self._target)))
        elif item.role == "developer" and self._target.openai_fields:
            self._said.append(c.ChatDeveloperMessage(content=text_content(content, at, self._target)))
        else:
            self._said.append(c.ChatSystemMessage(content=text_content(content, at, self._target)))

    def add_reasoning(self, item: r.ResponsesReasoning, at: str) -> None:
        """Add what the model thought, to stand before what it says next."""
        if self._target.reasoning_field is None:
            name = self._target.name
            raise Untranslatable(at, f"{name} cannot be told what the model thought; leave reasoning items out")
        if not item.content:
            raise Untranslatable(f"{at}.content", "should be there, as nobody else has the thought that this names")
        self._begin_turn(at).thoughts.extend(part.text for part in item.content)

    def add_call(self, item: r.ResponsesFunctionCall | r.ResponsesCustomToolCall, at: str) -> None:
        """Add a call of a tool to the turn."""
        _check_caller(item.caller, at)
        turn = self._turn or self._begin_turn(at)
        if isinstance(item, r.ResponsesFunctionCall):
            function = c.ChatFunctionCall(name=item.name, arguments=item.arguments)
            turn.calls.append(c.ChatFunctionToolCallParam(id=item.call_id, function=function))
            return
        check_free_text(at, self._target)
        custom = c.ChatCustomCall(name=item.name, input=item.input)
        turn.calls.append(c.ChatCustomToolCallParam(id=item.call_id, custom=custom))

    def add_output(self, item: r.ResponsesFunctionCallOutput | r.ResponsesCustomToolCallOutput, at: str) -> None:
        """Add what a tool answered."""
        _check_caller(item.caller, at)
        self._end_turn()
        content = text_content(item.output, f"{at}.output", self._target)
        self._said.append(c.ChatToolMessage(content=content, tool_call_id=item.call_id))

    def _begin_turn(self, at: str) -> _AssistantTurn:
        """Give the turn to which a thought or a text may still be added, or begin the next."""
        if self._turn is not None and self._turn.calls:
            raise Untranslatable(at, "should come before the calls of the turn")
        if self._turn is None or self._turn.content is not None:
            self._end_turn()
            self._turn = _AssistantTurn([], None, [])
        return self._turn

    def _end_turn(self) -> None:
        if self._turn is None:
            return
        thought = "\n".join(self._turn.thoughts) or UNSET
        field = self._target.reasoning_field
        self._said.append(
            c.ChatAssistantMessage(
                content=self._turn.content,
                tool_calls=self._turn.calls or UNSET,
                reasoning=thought if field == "reasoning" else UNSET,
                reasoning_content=thought if field == "reasoning_content" else UNSET,
            )
        )
        self._turn = None


def chat_messages(
    instructions: str | UnsetType | None, given: str | Sequence[Raw], target: ServerCapabilities
) -> list[c.ChatMessageParam]:
    """Say the instructions and the input; raises `RequestError` with the path of what cannot be said."""
    first: list[c.ChatMessageParam] = [c.ChatSystemMessage(content=instructions)] if instructions else []
    if isinstance(given, str):
        return [*first, c.ChatUserMessage(content=given)]
    messages = Messages(target)
    for index, item in enumerate(given):
        messages.add(item, f"input.{index}")
    return [*first, *messages.whole()]


def check_free_text(at: str, target: ServerCapabilities) -> None:
    """Refuse what belongs to tools of free text where the target has none."""
    if not target.openai_fields:
        raise Untranslatable(at, f"{target.name} has no tools of free text; declare a function instead")


def _check_caller(caller: Raw | UnsetType, at: str) -> None:
    if not says_nothing(caller) and (not isinstance(caller, Raw) or _KIND.decode(caller).type != "direct"):
        raise Untranslatable(f"{at}.caller", "only the model itself (direct) calls tools there")


_Add = Callable[[Messages, Any, str], None]

_ITEMS: Final[dict[str, tuple[msgspec.json.Decoder[Any], _Add]]] = {
    "message": (msgspec.json.Decoder(r.ResponsesMessage), Messages.add_message),
    "reasoning": (msgspec.json.Decoder(r.ResponsesReasoning), Messages.add_reasoning),
    "function_call": (msgspec.json.Decoder(r.ResponsesFunctionCall), Messages.add_call),
    "custom_tool_call": (msgspec.json.Decoder(r.ResponsesCustomToolCall), Messages.add_call),
    "function_call_output": (msgspec.json.Decoder(r.ResponsesFunctionCallOutput), Messages.add_output),
    "custom_tool_call_output": (msgspec.json.Decoder(r.ResponsesCustomToolCallOutput), Messages.add_output),
}
"""How items of each type are read and added."""
