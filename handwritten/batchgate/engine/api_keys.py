"""The values of API keys: who may call, for which workspace, and for what."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

Scope: TypeAlias = Literal["read", "submit", "admin"]
"""What a key may be for: to look, to change something in its workspace, to manage workspaces and keys. None implies
another."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
DEFAULT_WORKSPACE: Final = "default"
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("read", "submit")


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls, as its API key says."""

    name: str
    """Of the key; empty where none is needed."""
    workspace: str = DEFAULT_WORKSPACE
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES


NOBODY: Final = Caller(name="", scopes=SCOPES)
"""Who calls a gateway that has no keys: whoever is on this machine may do everything."""
