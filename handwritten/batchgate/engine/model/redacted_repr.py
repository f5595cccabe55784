"""Reprs without secrets: a repr ends up in logs, traces and the output of tests."""

from __future__ import annotations

from msgspec import Struct


def redacted_repr(struct: Struct, *hidden: str) -> str:
    """Return the repr of a struct, with ``...`` for the values of the hidden fields that are set."""
    fields = (f"{name}={_value(getattr(struct, name), name in hidden)}" for name in struct.__struct_fields__)
    return f"{type(struct).__name__}({', '.join(fields)})"


def _value(value: object, is_hidden: bool) -> str:
    return "..." if is_hidden and value is not None else repr(value)
