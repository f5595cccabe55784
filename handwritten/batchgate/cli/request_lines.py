"""Checks lines of a file before they are sent: what a request needs, in the words of a file.

The gateway checks every request anyway, and knows much more. What is found here is what it cannot say as well: that a
field has another name, that the file is of another shape, or that a request is accepted and can only fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Raw, Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS, DecodingError, describe_decoding_error

Shape: TypeAlias = Literal["params", "body"]
"""The field of a request that holds what a provider gets: params for Messages, body for the other APIs."""

MESSAGES_LINE: Final = '{"custom_id": ..., "params": {...}}'
OPENAI_LINE: Final = '{"custom_id": ..., "method": "POST", "url": ..., "body": {...}}'
OTHER_IDS: Final = frozenset({"id", "customid", "custom-id", "request_id", "requestid", "request-id", "key", "_id"})
"""What people call the custom_id, in lower case."""
LONGEST_QUOTE: Final = 24

_FIELDS: Final = msgspec.json.Decoder(dict[str, Raw])


class LineFault(Struct, frozen=True, kw_only=True):
    """What is wrong with a line."""

    code: str
    message: str
    param: str | None = None

    def __str__(self) -> str:
        """Return the message behind the field that it is about."""
        return self.message if self.param is None else f"{self.param}: {self.message}"


class RequestLines:
    """Checks the lines of one file in their order; all have the shape of the first."""

    def __init__(self) -> None:
        self._shape: Shape | None = None
        self._first = 0

    def fault(self, number: int, text: bytes) -> LineFault | None:
        """Return what is wrong with a line; None if only the gateway can tell."""
        try:
            fields = _FIELDS.decode(text)
        except DECODING_ERRORS as error:
            return LineFault(code="invalid_json_line", message=_no_object(number, text, error))
        shape: Shape | None = "params" if "params" in fields else "body" if "body" in fields else None
        if shape is None:
            return _without_content(fields)
        if self._shape is None:
            self._shape, self._first = shape, number
        if shape != self._shape:
            message = f"it has {shape}, and line {self._first} has {self._shape}; a file has requests of one API"
            return LineFault(code="invalid_request", message=message)
        return _without_id(fields) or (_without_limit(fields["params"]) if shape == "params" else None)


def _no_object(number: int, text: bytes, error: DecodingError) -> str:
    """Say why a line is no JSON object; the first one shows what the file may be instead."""
    problem = describe_decoding_error(error).message
    if number > 1:
        return problem
    if text.startswith(b"["):
        return f'{problem}: write one request a line, as `jq -c ".[]" FILE` does, or begin with {{"requests": ['
    if text.startswith(b"{"):
        return f'{problem}; a file that is one JSON document must begin with {{"requests": ['
    begin = text[:LONGEST_QUOTE].decode(errors="replace")
    return f"{problem}. It begins with {begin!r}, and a request is an object in JSON: {MESSAGES_LINE} or {OPENAI_LINE}"


def _without_content(fields: Mapping[str, Raw]) -> LineFault | None:
    if misplaced := sorted(fields.keys() & {"model", "messages", "max_tokens", "system", "input"}):
        are = "belong" if len(misplaced) > 1 else "belongs"
        message = f"{', '.join(misplaced)} {are} into params: {MESSAGES_LINE}, or into body: {OPENAI_LINE}"
        return LineFault(code="invalid_request", message=message)
    return None


def _without_id(fields: Mapping[str, Raw]) -> LineFault | None:
    if "custom_id" in fields:
        return None
    other = next((name for name in fields if name.lower() in OTHER_IDS), None)
    hint = "write an id of your own, which its result will have" if other is None else f"rename {other} to custom_id"
    message = f"it is missing; {hint}"
    return LineFault(code="missing_required_parameter", message=message, param="custom_id")


def _without_limit(params: Raw) -> LineFault | None:
    """Return the fault of a request for a message without a limit of tokens, which every provider refuses."""
    try:
        fields = _FIELDS.decode(params)
    except DECODING_ERRORS:
        return None
    if "messages" not in fields or "max_tokens" in fields:
        return None
    message = 'it is missing: the Messages API needs it in each request, such as "max_tokens": 1024'
    return LineFault(code="missing_required_parameter", message=message, param="params.max_tokens")
