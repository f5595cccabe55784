"""Reads token counts that servers write as numbers, fractions or digits in a text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS

MAX_COUNT: Final = 2**40
"""A larger count is wrong: no request has as many tokens."""

UsageFields: TypeAlias = Mapping[str, Raw]
"""The fields of a usage object, any JSON each: one count that is wrong must not cost the others."""


class _Answer(Struct):
    usage: dict[str, Raw] | None = None


_ANSWER: Final = msgspec.json.Decoder(_Answer)
_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


def usage_fields(answer: bytes) -> UsageFields:
    """Return the fields of an answer's ``usage``; none if it has none."""
    try:
        return _ANSWER.decode(answer).usage or {}
    except DECODING_ERRORS:
        return {}


def read_count(fields: UsageFields, name: str, within: str | None = None) -> int | None:
    """Return a count, fractions rounded up; None for what is not a number from 0 to `MAX_COUNT`.

    ``within`` names an object of the fields that has the count.
    """
    if within is not None:
        try:
            fields = _FIELDS.decode(fields[within])
        except (KeyError, *DECODING_ERRORS):
            return None
    if name not in fields:
        return None
    try:
        number = float(bytes(fields[name]).strip(b'"'))
    except ValueError:
        return None
    return math.ceil(number) if 0 <= number <= MAX_COUNT else None
