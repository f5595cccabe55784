"""What can be wrong with the body of a create, in words."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from batchgate.api.request_errors import fault_code, known_values
from batchgate.engine.model.decoding_errors import KNOWN_VALUES, DecodingError, describe_decoding_error
from batchgate.engine.model.errors import RefusedError

REPEATED: Final = "duplicate_custom_id"


class Fault(Struct, frozen=True):
    """What is wrong at one place, with a word for it that programs know."""

    path: str
    """Keys and indexes joined by dots."""
    message: str
    code: str | None = None

    def __str__(self) -> str:
        """Say where, and what."""
        return f"{self.path}: {self.message}"

    def under(self, prefix: str) -> Fault:
        """Say the same of a document that stands at ``prefix`` within a larger one."""
        return Fault(f"{prefix}.{self.path}" if self.path else prefix, self.message, self.code)


def decoding_fault(error: DecodingError, model: type[Struct]) -> Fault:
    """Say why bytes did not decode as a model."""
    problem = describe_decoding_error(error)
    known = ", ".join(known_values(model, problem.path))
    message = problem.message.replace(KNOWN_VALUES, known, 1) if known else problem.message
    return Fault(problem.path, message, fault_code(problem.message))


def not_json(error: msgspec.DecodeError, base: int) -> RefusedError:
    """Refuse a body that is no JSON; ``base`` is where the text that did not decode begins in it."""
    text = str(error)
    if "truncated" in text:
        return invalid("the body is not valid JSON: it ends too early")
    reason, _, place = text.removeprefix("JSON is malformed: ").rpartition(" (byte ")
    return malformed(reason, base + int(place.rstrip(")")))


def malformed(reason: str, place: int) -> RefusedError:
    """Refuse a body that is no JSON from a byte on."""
    return invalid(f"the body is not valid JSON: {reason} (byte {place})")


def invalid(message: str, *, param: str | None = None, code: str | None = None) -> RefusedError:
    """Refuse a body."""
    return RefusedError("invalid_request_error", message, param=param, code=code)
