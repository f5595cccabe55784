"""The values of API keys: who may call, for which workspace, and for what."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

Scope: TypeAlias = Literal["read", "submit", "admin"]
"""What a key may be for: to look, to change something in its workspace, to manage workspaces and keys. None implies
another."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
DEFAULT_WORKSPACE: Final = "default"
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("read", "submit")
PREFIX: Final = "sk-bf-"
KEY_BYTES: Final = 32
HINT_LENGTH: Final = 4


class Caller(Struct, frozen=True, kw_only=True):
    """Who calls, as its API key says."""

    name: str
    """Of the key; empty where none is needed."""
    workspace: str = DEFAULT_WORKSPACE
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES


ANONYMOUS: Final = Caller(name="", scopes=SCOPES)
"""Who calls a gateway that has no keys: whoever is on this machine may do everything."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key that the database knows by its hash; times are microseconds since the epoch."""

    id: str
    digest: bytes
    """SHA-256 of the key, which itself is nowhere."""
    name: str
    workspace: str
    scopes: tuple[Scope, ...]
    hint: str
    """How the key ends, for whoever looks for the right one."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    """From when on it is refused; of one that was replaced, that may be to come."""
    last_used_at: int | None = None

    @property
    def caller(self) -> Caller:
        """Who calls with it."""
        return Caller(name=self.name, workspace=self.workspace, scopes=self.scopes)

    def is_valid_at(self, now: int) -> bool:
        """Tell if it may be used at a time."""
        return all(end is None or now < end for end in (self.expires_at, self.revoked_at))

    def __repr__(self) -> str:
        """Show the key without its hash."""
        return f"ApiKey(id={self.id!r}, name={self.name!r}, workspace={self.workspace!r}, scopes={self.scopes!r})"


class ApiKeyPage(Struct, frozen=True, kw_only=True):
    """Some keys, the newest first, and whether there are more."""

    keys: tuple[ApiKey, ...]
    has_more: bool


def generate_key() -> str:
    """Draw a key that nobody can guess."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def hash_key(key: str) -> bytes:
    """Hash a key as it is stored: keys are random enough that a slow hash would protect nothing more."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
