"""Errors of parameters, form fields and small bodies, which are checked against a generated model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, get_args, get_origin

import msgspec

from batchgate.api.metadata import with_metadata_key
from batchgate.engine.model.decoding_errors import (
    FIELD_REQUIRED,
    KNOWN_VALUES,
    UNKNOWN_FIELD,
    DocumentFault,
    describe_validation_error,
)
from batchgate.engine.model.errors import RefusedError

UNKNOWN_PARAMETER: Final = "unknown_parameter"
_CODES: Final = {FIELD_REQUIRED: "missing_required_parameter", UNKNOWN_FIELD: UNKNOWN_PARAMETER}


def fault_code(message: str) -> str | None:
    """Return the error code for a message about a field; None if only its value is wrong."""
    return _CODES.get(message)


def refuse_input(
    error: msgspec.ValidationError, model: type[msgspec.Struct], body: bytes | None = None
) -> RefusedError:
    """Convert a validation error to a refusal that names the field, and its allowed values if it is an enum.

    ``body`` is the JSON that has the error, if it came as JSON.
    """
    problem = describe_validation_error(error)
    if body is not None:
        problem = with_metadata_key(problem, body)
    known = allowed_values(model, problem.path)
    if problem.message == FIELD_REQUIRED:
        return refuse_missing(problem.path, known)
    message = problem.message.replace(KNOWN_VALUES, ", ".join(known), 1) if known else problem.message
    code = fault_code(problem.message)
    where = problem.path or None
    return RefusedError("invalid_request_error", str(DocumentFault(problem.path, message)), param=where, code=code)


def refuse_missing(name: str, known: Sequence[str] = ()) -> RefusedError:
    """Return the refusal of a missing value; ``known`` are the allowed values of an enum."""
    message = f"{name}: {FIELD_REQUIRED}" + (f"; it must be one of {', '.join(known)}" if known else "")
    return RefusedError("invalid_request_error", message, param=name, code=fault_code(FIELD_REQUIRED))


def allowed_values(model: type[msgspec.Struct], name: str) -> tuple[str, ...]:
    """List the allowed values of an enum field, by its path on the wire; empty for other fields."""
    name, _, rest = name.partition(".")
    found = next((field.type for field in msgspec.structs.fields(model) if field.encode_name == name), None)
    if not rest:
        return _literals(found)
    return next((allowed_values(inner, rest) for inner in _structs(found)), ())


def _structs(annotation: object) -> tuple[type[msgspec.Struct], ...]:
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return (annotation,)
    return tuple(struct for part in get_args(annotation) for struct in _structs(part))


def _literals(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    return tuple(value for part in get_args(annotation) for value in _literals(part))
