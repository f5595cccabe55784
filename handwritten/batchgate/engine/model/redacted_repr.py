"""Reprs for structs that hold keys: a repr ends up in logs, traces and the output of tests."""

from __future__ import annotations

from msgspec import Struct


def redacted_repr(struct: Struct, *hidden: str) -> str:
    """Write a struct as its own repr does, but for the values of some fields that are set."""
    shown = (f"{name}={_shown(getattr(struct, name), name in hidden)}" for name in struct.__struct_fields__)
    return f"{type(struct).__name__}({', '.join(shown)})"


def _shown(value: object, is_hidden: bool) -> str:
    return "..." if is_hidden and value is not None else repr(value)
