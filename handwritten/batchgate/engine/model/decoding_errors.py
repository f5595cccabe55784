"""Describes msgspec's decoding errors in the style of the Messages API: ``path: message``.

Used for all JSON from outside: rows, HTTP bodies, parameters, answers.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

DecodingError: TypeAlias = msgspec.DecodeError | UnicodeDecodeError | RecursionError
"""What `msgspec.json.Decoder.decode` raises for bytes from outside; `msgspec.ValidationError` is a `DecodeError`."""

FIELD_REQUIRED: Final = "Field required"
UNKNOWN_FIELD: Final = "Extra inputs are not permitted"
KNOWN_VALUES: Final = "the known values"
"""The wording for a missing field, for an unknown field, and (within a sentence) for a value that is not allowed."""

DECODING_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The same as a tuple, for ``except`` clauses."""


class DocumentFault(msgspec.Struct, frozen=True):
    """One fault in a JSON document."""

    path: str
    """Keys and indexes joined by dots, such as ``messages.0.role``; empty for the document as a whole."""
    message: str

    def __str__(self) -> str:
        """Return ``path: message``, as the Messages API does."""
        return f"{self.path}: {self.message}" if self.path else self.message

    def with_prefix(self, prefix: str) -> DocumentFault:
        """Return the same fault of a larger document that has this one at ``prefix``."""
        return DocumentFault(f"{prefix}.{self.path}" if self.path else prefix, self.message)


def is_utf8_error(error: DecodingError) -> bool:
    """Return whether a string in the document is not UTF-8.

    msgspec raises `UnicodeDecodeError` up to 0.22, and from 0.23 on a `DecodeError` that names no position.
    """
    return isinstance(error, UnicodeDecodeError) or str(error) == "Invalid UTF-8 encoded string"


def describe_validation_error(error: msgspec.ValidationError) -> DocumentFault:
    """Describe where a JSON document does not match its schema, and what is expected there."""
    text = str(error)
    found = _PLACED.fullmatch(text)
    what, path = (found["what"], _dotted(found["place"])) if found else (text, "")
    for pattern, words in _ABOUT_A_FIELD:
        if match := pattern.fullmatch(what):
            return DocumentFault(f"{path}.{match[1]}" if path else match[1], words)
    for pattern, word in _WORDINGS:
        if match := pattern.fullmatch(what):
            return DocumentFault(path, word(match))
    return DocumentFault(path, what)


def describe_decoding_error(error: DecodingError) -> DocumentFault:
    """Describe why bytes did not decode: they are not JSON, or do not match the schema."""
    match error:
        case msgspec.ValidationError():
            return describe_validation_error(error)
        case _ if is_utf8_error(error):
            return DocumentFault("", "Invalid JSON: a string is not UTF-8")
        case RecursionError():
            return DocumentFault("", "Invalid JSON: nested too deeply")
        case _:
            return DocumentFault("", f"Invalid JSON: {str(error).removeprefix('JSON is malformed: ')}")


def find_lone_surrogate(document: bytes) -> tuple[int, str] | None:
    r"""Find an escape for one half of a surrogate pair in a JSON document; return its offset and its text (``\ud83d``).

    Such an escape is no character. msgspec reports the document as truncated; Anthropic answers 400 as well. An escape
    at the end of a truncated document does not count: its other half may be missing.
    """
    place = 0
    while found := _OTHER_ESCAPES.match(document, place):
        place = found.end()
    lone = _LONE_SURROGATE.match(document, place)
    if lone is None:
        return None
    following = document[lone.end() : lone.end() + _ESCAPE_LENGTH]
    is_cut = len(following) < _ESCAPE_LENGTH and b"\\u".startswith(following[:2])
    return None if is_cut else (lone.start(1), lone[1].decode())


_ESCAPES_AT_ONCE: Final = 10_000
"""Escapes that one call of the pattern skips: other threads wait for it."""
_OTHER_ESCAPES: Final = re.compile(
    rb"(?:[^\\]*+\\(?:[^u]|u(?:[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?![dD][89a-fA-F][0-9a-fA-F]{2})))){1,%d}+" % _ESCAPES_AT_ONCE,
    re.DOTALL,
)
"""Text and escapes that are no lone surrogate."""
_LONE_SURROGATE: Final = re.compile(rb"[^\\]*+(\\u[dD][89a-fA-F][0-9a-fA-F]{2})")
_ESCAPE_LENGTH: Final = len(rb"\ud83d")

# Greedy, so that the last " - at" matches: an earlier one may be part of the caller's data.
_PLACED: Final = re.compile(r"(?P<what>.*) - at (?:`key` in )?`\$(?P<place>[^`]*)`", re.DOTALL)

_ABOUT_A_FIELD: Final = (
    (re.compile(r"Object missing required field `(.*)`", re.DOTALL), FIELD_REQUIRED),
    (re.compile(r"Object contains unknown field `(.*)`", re.DOTALL), UNKNOWN_FIELD),
)

_TYPES: Final = {
    "str": "a string",
    "int": "an integer",
    "float": "a number",
    "bool": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
    "datetime": "an RFC 3339 time",
}

_BOUNDS: Final = {
    "<=": "less than or equal to",
    ">=": "greater than or equal to",
    "<": "less than",
    ">": "greater than",
}

_LENGTHS: Final = {"str": ("String", "character"), "array": ("List", "item"), "object": ("Object", "entry")}
_PLURALS: Final = {"entry": "entries"}


def _type_words(names: str) -> str:
    words = [_TYPES.get(name, name) for name in names.split(" | ")]
    return " or ".join(words) if len(words) <= 2 else f"{', '.join(words[:-1])} or {words[-1]}"


def _wrong_type(match: re.Match[str]) -> str:
    got = f", not {_type_words(match[2])}" if match[2] else ""
    return f"Input should be {_type_words(match[1])}{got}"


def _out_of_bounds(match: re.Match[str]) -> str:
    return f"Input should be {_BOUNDS[match[1]]} {match[2].removesuffix('.0')}"


def _wrong_length(match: re.Match[str]) -> str:
    thing, unit = _LENGTHS[match[1]]
    units = unit if match[3] == "1" else _PLURALS.get(unit, f"{unit}s")
    return f"{thing} should have at {'most' if match[2] == '<=' else 'least'} {match[3]} {units}"


def _unknown_value(match: re.Match[str]) -> str:
    return f"Input should be one of {KNOWN_VALUES}, not {match[1]}"


def _wrong_pattern(match: re.Match[str]) -> str:
    return f"String should match pattern {match[1]}"


def _wrong_time(_: re.Match[str]) -> str:
    return f"Input should be {_TYPES['datetime']}"


_WORDINGS: Final[tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], str]], ...]] = (
    (re.compile(r"Expected `([^`]+)`(?:, got `([^`]+)`)?"), _wrong_type),
    (re.compile(r"Expected `(?:int|float)` (<=|>=|<|>) (\S+)"), _out_of_bounds),
    (re.compile(r"Expected `(str|array|object)` of length (<=|>=) (\d+)"), _wrong_length),
    (re.compile(r"Expected `str` matching regex (.*)", re.DOTALL), _wrong_pattern),
    (re.compile(r"Invalid (?:enum )?value (.*)", re.DOTALL), _unknown_value),
    (re.compile(r"Invalid RFC3339 encoded datetime"), _wrong_time),
)


def _dotted(place: str) -> str:
    indexed = re.sub(r"\[(\d+|\.\.\.)\]", lambda match: f".{'*' if match[1] == '...' else match[1]}", place)
    return indexed.removeprefix(".")
