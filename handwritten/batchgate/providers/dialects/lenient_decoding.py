"""Decodes answers whose fields have other types than the model declares; an answer that was paid for is kept.

A document that matches its model is decoded as it is. Otherwise each field is converted to its type, and a field that
cannot be converted is left out, unless it is content. The content of the answer is never left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, TypeVar

import msgspec
from msgspec import Raw
from msgspec import inspect as shapes

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.providers.responses.json_repair import repair_encoding, repair_json
from batchgate_api import chat_completions as c
from batchgate_api import converse as v
from batchgate_api import messages as m
from batchgate_api import responses as r

T = TypeVar("T")

CONTENT: Final = frozenset(
    {
        (c.ChatChoice, "message"),
        (c.ChatMessage, "content"),
        (c.ChatMessage, "refusal"),
        (c.ChatMessage, "tool_calls"),
        (c.ChatMessage, "function_call"),
        (c.ChatMessagePart, "text"),
        (c.ChatToolCall, "function"),
        (v.ConverseAnswerBlock, "text"),
        (v.ConverseAnswerBlock, "toolUse"),
        (v.ConverseCalledTool, "input"),
        (m.TextBlock, "text"),
        (m.ThinkingBlock, "thinking"),
        (m.ToolUseBlock, "input"),
        (r.ResponseMessagePart, "text"),
        (r.ResponseMessagePart, "refusal"),
    }
)
"""Fields with content that may be empty: an answer in which one cannot be read cannot be used."""

_DEFAULTS: Final[Mapping[tuple[type, str], bytes]] = {
    (c.ChatChoice, "message"): b"{}",
    (m.Message, "id"): b'""',
    (m.Message, "type"): b'"message"',
    (m.Message, "role"): b'"assistant"',
    (m.Message, "model"): b'""',
    (m.Message, "stop_reason"): b"null",
    (m.Message, "stop_sequence"): b"null",
    (m.Message, "usage"): b"{}",
    (m.Usage, "input_tokens"): b"0",
    (m.Usage, "output_tokens"): b"0",
    (m.OutputTokensDetails, "thinking_tokens"): b"0",
    (m.TextBlock, "text"): b'""',
    (m.ThinkingBlock, "thinking"): b'""',
    (m.ThinkingBlock, "signature"): b'""',
    (m.ToolUseBlock, "id"): b'""',
    (m.ToolUseBlock, "input"): b"{}",
    (r.ResponseThought, "type"): b'"reasoning_text"',
    (r.ResponseFunctionCall, "call_id"): b'""',
    (r.ResponseFunctionCall, "arguments"): b'"{}"',
    (r.ResponseCustomToolCall, "call_id"): b'""',
}
"""Required fields that an answer does not need, with the value that stands for an absent one."""

_JSON_TEXTS: Final = frozenset({(r.ResponseFunctionCall, "arguments"), (r.ResponseCustomToolCall, "input")})
"""Texts that hold JSON: an object becomes its text."""

_TEXT_KEYS: Final = ("text", "content", "thinking", "reasoning", "summary", "value")
"""Keys under which servers put the text where a plain text is expected."""

_MAX_NUMBER: Final = 2**53
_EMPTY: Final = frozenset({b"null", b"false", b"[]", b"{}", b'""'})
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_ITEMS: Final = msgspec.json.Decoder(list[Raw])


def decode_answer(decoder: msgspec.json.Decoder[T], document: bytes | Raw) -> T:
    """Decode an answer, with its fields converted if needed; raises one of `DECODING_ERRORS` if that is impossible."""
    whole = repair_encoding(bytes(document))
    try:
        return decoder.decode(whole)
    except DECODING_ERRORS:
        converted = _convert(repair_json(whole), _shape(decoder.type))
        if converted is None:
            raise
    return decoder.decode(converted)


_SHAPES: Final[dict[object, shapes.Type]] = {}


def _shape(model: object) -> shapes.Type:
    if model not in _SHAPES:
        _SHAPES[model] = shapes.type_info(model)
    return _SHAPES[model]


# ---------------------------------------------------------------- conversion; None means that it is impossible


def _convert(raw: bytes, shape: shapes.Type) -> bytes | None:
    match shape:
        case shapes.Metadata(type=inner):
            return _convert(raw, inner)
        case shapes.UnionType(types=members):
            return _convert_union(raw, members)
        case shapes.StructType():
            return _convert_object(raw, shape)
        case shapes.ListType(item_type=item):
            return _convert_list(raw, item)
        case _:
            return _convert_scalar(raw, shape)


def _convert_scalar(raw: bytes, shape: shapes.Type) -> bytes | None:
    converted: bytes | None = raw
    match shape:
        case shapes.StrType():
            converted = _convert_text(raw)
        case shapes.IntType():
            converted = None if (number := _number(raw)) is None else b"%d" % math.ceil(number)
        case shapes.FloatType():
            converted = None if (number := _number(raw)) is None else msgspec.json.encode(number)
        case shapes.NoneType() if raw != b"null":
            converted = None
        case shapes.LiteralType(values=values) if msgspec.json.decode(raw) not in values:
            converted = None
        case _:
            pass
    return converted


def _convert_union(raw: bytes, members: tuple[shapes.Type, ...]) -> bytes | None:
    """Convert to the member whose JSON type was sent, or else to the first one that is possible."""
    plain = [member.type if isinstance(member, shapes.Metadata) else member for member in members]
    if raw == b"null":
        return raw if any(isinstance(member, shapes.NoneType) for member in plain) else None
    structs = [member for member in plain if isinstance(member, shapes.StructType)]
    if raw.startswith(b"{") and len(structs) > 1:
        return _convert_tagged(raw, structs)
    order = sorted(plain, key=lambda member: not _same_kind(raw, member))
    return next((converted for member in order if (converted := _convert(raw, member)) is not None), None)


def _same_kind(raw: bytes, shape: shapes.Type) -> bool:
    match raw[:1]:
        case b'"':
            return isinstance(shape, shapes.StrType | shapes.LiteralType)
        case b"{":
            return isinstance(shape, shapes.StructType)
        case b"[":
            return isinstance(shape, shapes.ListType)
        case _:
            return isinstance(shape, shapes.IntType | shapes.FloatType)


def _convert_tagged(raw: bytes, members: list[shapes.StructType]) -> bytes | None:
    fields = _FIELDS.decode(raw)
    for member in members:
        if bytes(fields.get(member.tag_field or "", b"null")) == msgspec.json.encode(member.tag):
            return _convert_object(raw, member)
    return None


def _convert_object(raw: bytes, shape: shapes.StructType) -> bytes | None:
    if not raw.startswith(b"{"):
        return None
    sent = _FIELDS.decode(raw)
    kept: dict[str, Raw] = {}
    if shape.tag_field:
        kept[shape.tag_field] = Raw(msgspec.json.encode(shape.tag))
    for field in shape.fields:
        place = (shape.cls, field.name)
        found = bytes(sent[field.encode_name]) if field.encode_name in sent else None
        value = None if found is None else _convert_field(found, field.type, place)
        if value is None and place in CONTENT and found is not None and found not in _EMPTY:
            return None
        if value is None and field.required:
            default = _DEFAULTS.get(place)
            value = None if default is None else _convert(default, field.type)
            if value is None:
                return None
        if value is not None:
            kept[field.encode_name] = Raw(value)
    return msgspec.json.encode(kept)


def _convert_field(raw: bytes, shape: shapes.Type, place: tuple[type, str]) -> bytes | None:
    if place == (c.ChatCompletion, "choices"):
        return _convert_first(raw, shape)
    if place == (m.Message, "content") and raw.startswith(b'"'):
        raw = b'[{"type":"text","text":%s}]' % raw
    if place in _JSON_TEXTS and raw.startswith((b"{", b"[")):
        return msgspec.json.encode(raw.decode())
    return _convert(raw, shape)


def _convert_first(raw: bytes, shape: shapes.Type) -> bytes | None:
    """Convert the choices: only the first one is read."""
    return _convert(msgspec.json.encode(_ITEMS.decode(raw)[:1]), shape)


def _convert_list(raw: bytes, item: shapes.Type) -> bytes | None:
    """Convert each item; a single object is a list of one, and null items are left out."""
    if raw.startswith(b"{"):
        raw = b"[]" if raw in _EMPTY else b"[%s]" % raw
    if not raw.startswith(b"["):
        return None
    converted: list[Raw] = []
    for sent in map(bytes, _ITEMS.decode(raw)):
        if sent == b"null":
            continue
        value = _convert(sent, item)
        if value is None:
            return None
        converted.append(Raw(value))
    return msgspec.json.encode(converted)


# ---------------------------------------------------------------- texts and numbers


def _convert_text(raw: bytes) -> bytes | None:
    try:
        text = _text(msgspec.json.decode(raw))
    except DECODING_ERRORS:
        return None
    return None if text is None else msgspec.json.encode(text)


def _text(value: object) -> str | None:
    """Return a text, a number as text, or the text of an object or of each item of a list."""
    match value:
        case str():
            return value
        case bool() | None:
            return None
        case int() | float():
            return str(value)
        case list():
            texts = [_text(item) for item in value]
            return None if not texts or None in texts else "".join(text for text in texts if text is not None)
        case dict():
            return next((text for key in _TEXT_KEYS if (text := _text(value.get(key))) is not None), None)
        case _:
            return None


def _number(raw: bytes) -> float | None:
    """Return a number, also from text: digits, or a date as Unix seconds."""
    try:
        value: object = msgspec.json.decode(raw)
    except DECODING_ERRORS:
        return None
    if isinstance(value, str):
        value = _number_in_text(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= _MAX_NUMBER else None


def _number_in_text(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
