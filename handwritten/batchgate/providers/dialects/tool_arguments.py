"""Reads the arguments of tool calls in answers, which servers write in several ways.

The ways: JSON as text, a JSON object, nothing for the empty object, JSON within JSON within JSON (Granite at vLLM), and
text with raw control characters within its strings. Arguments that are none of these, such as those of an answer that
was cut off, are kept in Messages under the key that Anthropic documents for invalid JSON.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Raw, UnsetType

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.providers.responses.json_repair import repair_json

INVALID_JSON: Final = "INVALID_JSON"
"""The only key of an input whose value is the text of arguments that are not a JSON object."""

_TEXT: Final = msgspec.json.Decoder(str)
_OBJECT: Final = msgspec.json.Decoder(dict[str, Raw])


def arguments_object(arguments: Raw | UnsetType) -> Raw:
    """Return arguments as a JSON object in one line; text that is no object becomes the value of `INVALID_JSON`."""
    text = arguments_text(arguments)
    if not text.strip() or text == "null":
        return Raw(b"{}")
    if not _is_object(text):
        return Raw(msgspec.json.encode({INVALID_JSON: text}))
    return Raw(msgspec.json.format(text.encode(), indent=-1))


def input_text(tool_input: Raw) -> str:
    """Return the input of a tool_use block as the text of arguments; undoes `arguments_object` for invalid JSON."""
    if INVALID_JSON.encode() in bytes(tool_input):
        match msgspec.json.decode(tool_input):
            case {"INVALID_JSON": str() as text, **others} if not others:
                return text
            case _:
                pass
    return arguments_text(tool_input)


def arguments_text(arguments: Raw | UnsetType) -> str:
    """Return arguments as text: JSON if they can be read as an object, and otherwise the text that was sent."""
    sent = b"" if isinstance(arguments, UnsetType) else bytes(arguments)
    text = _decode_text(sent) if sent.startswith(b'"') else sent.decode()
    if sent in {b"", b"null"}:
        return "{}"
    return text if _is_object(text) else _repaired(text) or text


def _decode_text(sent: bytes) -> str:
    try:
        return _TEXT.decode(sent)
    except DECODING_ERRORS:
        return _TEXT.decode(repair_json(sent))


def _repaired(text: str) -> str | None:
    """Return the object that a text holds after one more decoding or with its control characters escaped."""
    repaired = repair_json(text.encode()).decode()
    if _is_object(repaired):
        return repaired
    try:
        inner = _TEXT.decode(repaired)
    except DECODING_ERRORS:
        return None
    return next((form for form in (inner, repair_json(inner.encode()).decode()) if _is_object(form)), None)


def _is_object(text: str) -> bool:
    try:
        _OBJECT.decode(text)
    except DECODING_ERRORS:
        return False
    return True
