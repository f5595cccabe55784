"""Says what is wrong with parameters and form fields, which are checked against a generated model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args, get_origin

import msgspec

from batchgate.engine.errors import RefusedError
from batchgate.engine.validation import EXTRA_FIELD, FIELD_REQUIRED, KNOWN_VALUES, describe

_CODES: Final = {FIELD_REQUIRED: "missing_required_parameter", EXTRA_FIELD: "unknown_parameter"}


def fault_code(message: str) -> str | None:
    """Find the word that programs know for what is wrong with a field; None if it is just its value."""
    return _CODES.get(message)


def wrong_input(error: msgspec.ValidationError, model: type[msgspec.Struct]) -> RefusedError:
    """Turn a fault of one value into a refusal that names it, and names the values it may have if they are a few."""
    problem = describe(error)
    known = known_values(model, problem.path)
    if problem.message == FIELD_REQUIRED:
        return missing(problem.path, known)
    message = problem.message.replace(KNOWN_VALUES, ", ".join(known), 1) if known else problem.message
    code = fault_code(problem.message)
    return RefusedError("invalid_request_error", f"{problem.path}: {message}", param=problem.path, code=code)


def missing(name: str, known: Sequence[str] = ()) -> RefusedError:
    """Refuse what lacks a value; ``known`` are those that it may have, if they are a few."""
    message = f"{name}: {FIELD_REQUIRED}" + (f"; it must be one of {', '.join(known)}" if known else "")
    return RefusedError("invalid_request_error", message, param=name, code=fault_code(FIELD_REQUIRED))


def known_values(model: type[msgspec.Struct], name: str) -> tuple[str, ...]:
    """List the values of an enumerated field, by its name on the wire; none for one that is not enumerated."""
    return next((_literals(field.type) for field in msgspec.structs.fields(model) if field.encode_name == name), ())


def _literals(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(value for part in get_args(annotation) for value in _literals(part))
