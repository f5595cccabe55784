"""Decodes requests of Gemini's API, which takes its names in two spellings and its numbers as text (proto JSON)."""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec
from msgspec import Raw
from msgspec import inspect as shapes

from batchgate_api import gemini as g

T = TypeVar("T")

GENERATE: Final = msgspec.json.Decoder(g.GeminiRequest)
EMBED: Final = msgspec.json.Decoder(g.GeminiEmbedRequest)

_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])
_ITEMS: Final = msgspec.json.Decoder(list[Raw])


def decode_gemini(decoder: msgspec.json.Decoder[T], body: bytes) -> T:
    """Decode a request; names may be ``system_instruction`` or ``systemInstruction``, and numbers text.

    Raises one of `DECODING_ERRORS`.
    """
    try:
        return decoder.decode(body)
    except msgspec.ValidationError:
        renamed = _renamed(Raw(body), shapes.type_info(decoder.type))
        return msgspec.json.decode(renamed, type=decoder.type, strict=False)


def standard_base64(data: str) -> str:
    """Return base64 in the standard alphabet, with its padding; Gemini's API has both alphabets."""
    plain = data.replace("-", "+").replace("_", "/").rstrip("=")
    return plain + "=" * (-len(plain) % 4)


def _renamed(raw: Raw, shape: shapes.Type) -> Raw:
    """Return JSON with the names of a model in camelCase; anything that does not match the model stays as it is."""
    match shape:
        case shapes.UnionType(types=members):
            inner = next(
                (m for m in members if isinstance(m, shapes.StructType | shapes.ListType | shapes.Metadata)), None
            )
            return raw if inner is None else _renamed(raw, inner)
        case shapes.Metadata(type=inner):
            return _renamed(raw, inner)
        case shapes.ListType(item_type=item) if bytes(raw).startswith(b"["):
            return Raw(msgspec.json.encode([_renamed(found, item) for found in _ITEMS.decode(raw)]))
        case shapes.StructType(fields=fields) if bytes(raw).lstrip().startswith(b"{"):
            return _renamed_object(raw, {field.encode_name: field.type for field in fields})
        case _:
            return raw


def _renamed_object(raw: Raw, fields: dict[str, shapes.Type]) -> Raw:
    sent = _FIELDS.decode(raw)
    kept: dict[str, Raw] = {}
    for key, value in sent.items():
        name = _camel_case(key)
        name = name if name in fields and name not in sent else key
        kept[name] = _renamed(value, fields[name]) if name in fields else value
    return Raw(msgspec.json.encode(kept))


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(other.capitalize() for other in others)
