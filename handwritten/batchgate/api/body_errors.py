"""Errors of request bodies."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from batchgate.api.request_errors import allowed_values, fault_code
from batchgate.engine.model.decoding_errors import (
    KNOWN_VALUES,
    DecodingError,
    describe_decoding_error,
    is_utf8_error,
)
from batchgate.engine.model.errors import RefusedError

DUPLICATE_CUSTOM_ID: Final = "duplicate_custom_id"


class BodyFault(Struct, frozen=True):
    """A fault of a body: its place, a message, and a code for programs."""

    path: str
    """Keys and indexes joined by dots."""
    message: str
    code: str | None = None

    def __str__(self) -> str:
        """Return place and message."""
        return f"{self.path}: {self.message}"

    def with_prefix(self, prefix: str) -> BodyFault:
        """Return the fault of a document that is nested at ``prefix``."""
        return BodyFault(f"{prefix}.{self.path}" if self.path else prefix, self.message, self.code)


def decoding_fault(error: DecodingError, model: type[Struct]) -> BodyFault:
    """Describe why bytes do not decode as a model."""
    problem = describe_decoding_error(error)
    known = ", ".join(allowed_values(model, problem.path))
    message = problem.message.replace(KNOWN_VALUES, known, 1) if known else problem.message
    return BodyFault(problem.path, message, fault_code(problem.message))


def refuse_json(error: DecodingError, base: int) -> RefusedError:
    """Return the refusal of an invalid JSON body; ``base`` is the position of the undecodable text in it."""
    if isinstance(error, RecursionError) or is_utf8_error(error):
        reason = describe_decoding_error(error).message.removeprefix("Invalid JSON: ")
        return refuse(f"the body is not valid JSON: {reason}")
    text = str(error)
    if "truncated" in text:
        return refuse("the body is not valid JSON: it ends too early")
    reason, _, place = text.removeprefix("JSON is malformed: ").rpartition(" (byte ")
    return refuse_malformed(reason, base + int(place.rstrip(")")))


def refuse_malformed(reason: str, place: int) -> RefusedError:
    """Return the refusal of a body that is invalid JSON at a position."""
    return refuse(f"the body is not valid JSON: {reason} (byte {place})")


def refuse(message: str, *, param: str | None = None, code: str | None = None) -> RefusedError:
    """Return the refusal of a body."""
    return RefusedError("invalid_request_error", message, param=param, code=code)
