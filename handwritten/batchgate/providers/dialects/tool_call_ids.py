"""Fits the ids of tool calls to the server that receives a request, for calls and results alike.

Servers restrict these ids in different ways, and a conversation may come from a server with other rules (Kimi's
``functions.f:0``) or from several servers that count from ``call_0``. Ids that fit stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import count
from typing import Final

from msgspec import Struct, UnsetType
from msgspec.structs import replace

from batchgate.engine.model.errors import Untranslatable
from batchgate_api import chat_completions as c

_DEFAULT_ID: Final = "call"
"""Replaces an empty id."""


class ToolIdRule(Struct, frozen=True, kw_only=True):
    """The ids of tool calls that a server accepts, each once in a conversation."""

    length: int
    """The maximum number of characters."""
    exact: bool = False
    """Whether each id needs exactly ``length`` characters, all of them letters or digits."""
    any_character: bool = False
    """Whether other characters than letters, digits, ``_`` and ``-`` are accepted."""
    needs_call: bool = False
    """Whether the server rejects a result without an earlier call."""

    def __str__(self) -> str:
        """Describe the rule in a cell of docs/translation.md."""
        size = f"{self.length}" if self.exact else f"at most {self.length}"
        letters = "letters and digits" if self.exact else "letters, digits, _ and -"
        return f"{size} characters" if self.any_character else f"{size} {letters}"

    def accepts(self, call_id: str) -> bool:
        """Return whether an id fits."""
        if self.exact:
            return len(call_id) == self.length and call_id.isascii() and call_id.isalnum()
        return 0 < len(call_id) <= self.length and (self.any_character or _OTHER.search(call_id) is None)

    def alternatives(self, call_id: str) -> Iterator[str]:
        """Yield ids that fit, the most similar one first."""
        if self.exact:
            yield from (_hash(f"{number} {call_id}")[: self.length] for number in count())
        similar = call_id if self.any_character else _OTHER.sub("_", call_id)
        similar = similar[: self.length] or _DEFAULT_ID
        yield similar
        for number in count(2):
            suffix = f"_{number}"
            yield similar[: self.length - len(suffix)] + suffix


_OTHER: Final = re.compile(r"[^a-zA-Z0-9_-]")

# String should match pattern '^[a-zA-Z0-9_-]+$'; `tool_use` ids must be unique; unexpected `tool_use_id` found.
ANTHROPIC_TOOL_IDS: Final = ToolIdRule(length=64, needs_call=True)
# toolUseId of botocore's bedrock-runtime: 1 to 64 of [a-zA-Z0-9_.:-]; every result needs its call.
BEDROCK_TOOL_IDS: Final = ToolIdRule(length=64, needs_call=True)
# 'messages[2].tool_calls[0].id': string too long. Expected a string with maximum length 40.
OPENAI_TOOL_IDS: Final = ToolIdRule(length=40, any_character=True)
# Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.
MISTRAL_TOOL_IDS: Final = ToolIdRule(length=9, exact=True)


def fit_tool_call_ids(messages: Sequence[c.ChatMessageParam], rule: ToolIdRule) -> list[c.ChatMessageParam]:
    """Return messages whose ids of calls and results fit ``rule``.

    Raises `Untranslatable` for a result without an earlier call if the server rejects such results.
    """
    ids = _FittingIds(rule, (call.id for message in messages for call in _calls(message)))
    return [_fit_message(message, ids, f"messages.{index}") for index, message in enumerate(messages)]


def made_up_call_id(seed: bytes, index: int) -> str:
    """Return an id for the call at ``index`` of an answer, if its server sent none.

    The same seed gives the same id, so a result is the same at each read. A seed that names the request, the time and
    the answer makes the id unique in a conversation.
    """
    return f"call_{blake2b(b'%d %b' % (index, seed), digest_size=12).hexdigest()}"


class _FittingIds:
    """Chooses ids for the calls of a conversation in order, and finds those of their results."""

    def __init__(self, rule: ToolIdRule, sent: Iterable[str]) -> None:
        self._rule = rule
        self._reserved = {call_id for call_id in sent if rule.accepts(call_id)}
        self._used: set[str] = set()
        self._alternatives: dict[str, Iterator[str]] = {}
        self._unanswered: dict[str, list[str]] = {}
        self._answered: dict[str, str] = {}

    def begin_message(self, sent: Iterable[str]) -> None:
        """Begin a message with calls: results that follow with one of these ids do not belong to earlier calls."""
        for call_id in sent:
            self._unanswered[call_id] = []

    def of_call(self, call_id: str) -> str:
        """Return the id for a call; an id that was used before is replaced."""
        fitting = call_id
        if call_id not in self._reserved or call_id in self._used:
            # The iterator is kept, so that an id that is repeated many times is not tried from the start each time.
            alternatives = self._alternatives.setdefault(call_id, self._rule.alternatives(call_id))
            fitting = next(found for found in alternatives if found not in self._used and found not in self._reserved)
        self._used.add(fitting)
        self._unanswered.setdefault(call_id, []).append(fitting)
        return fitting

    def of_result(self, call_id: str, path: str) -> str:
        """Return the id for a result: that of the first call with this id that has none yet."""
        if waiting := self._unanswered.get(call_id):
            self._answered[call_id] = waiting.pop(0)
        if call_id in self._answered:
            return self._answered[call_id]
        if self._rule.needs_call:
            raise Untranslatable(f"{path}.tool_call_id", "no earlier assistant message has a tool call with this id")
        return call_id if self._rule.accepts(call_id) else next(self._rule.alternatives(call_id))


def _fit_message(message: c.ChatMessageParam, ids: _FittingIds, path: str) -> c.ChatMessageParam:
    if isinstance(message, c.ChatToolMessage):
        return replace(message, tool_call_id=ids.of_result(message.tool_call_id, path))
    calls = _calls(message)
    if not calls:
        return message
    ids.begin_message(call.id for call in calls)
    return replace(message, tool_calls=[replace(call, id=ids.of_call(call.id)) for call in calls])


def _calls(message: c.ChatMessageParam) -> Sequence[c.ChatToolCallParam]:
    if not isinstance(message, c.ChatAssistantMessage) or isinstance(message.tool_calls, UnsetType):
        return ()
    return message.tool_calls or ()


def _hash(text: str) -> str:
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
