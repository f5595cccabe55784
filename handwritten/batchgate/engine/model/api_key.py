"""API keys: their values, scopes, generation and hashing."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final, Literal, TypeAlias, get_args

from msgspec import Struct

Scope: TypeAlias = Literal["read", "submit", "admin"]
"""What a key permits: reading, changing batches and files of its workspace, managing workspaces and keys.

No scope implies another."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
DEFAULT_WORKSPACE: Final = "default"
DEFAULT_SCOPES: Final[tuple[Scope, ...]] = ("read", "submit")
PREFIX: Final = "bg-"
OLD_PREFIX: Final = "sk-bf-"
"""The prefix of keys that earlier checkouts generated; they stay valid."""
MIN_CONFIGURED_LENGTH: Final = 16
"""The fewest characters of a key in the settings: such a key may be guessed without the database."""
KEY_BYTES: Final = 32
HINT_LENGTH: Final = 4


class Caller(Struct, frozen=True, kw_only=True):
    """The authenticated caller of a request, as described by its API key."""

    name: str
    """The name of the key; empty if the gateway needs no key."""
    workspace: str = DEFAULT_WORKSPACE
    scopes: tuple[Scope, ...] = DEFAULT_SCOPES


ANONYMOUS: Final = Caller(name="", scopes=SCOPES)
"""The caller of a gateway without keys: every program on this machine has all scopes."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A stored API key; the database has only its hash. Times are microseconds since the epoch."""

    id: str
    digest: bytes
    """SHA-256 of the key; the key itself is not stored."""
    name: str
    workspace: str
    scopes: tuple[Scope, ...]
    hint: str
    """The last characters of the key, which help a person to recognize it."""
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    """When the key stops being valid; in the future for a replaced key within its grace period."""
    last_used_at: int | None = None

    @property
    def caller(self) -> Caller:
        """The caller that this key authenticates."""
        return Caller(name=self.name, workspace=self.workspace, scopes=self.scopes)

    def is_valid_at(self, now: int) -> bool:
        """Check that the key has neither expired nor been revoked at a time."""
        return all(end is None or now < end for end in (self.expires_at, self.revoked_at))

    def __repr__(self) -> str:
        """Return a repr without the hash."""
        return f"ApiKey(id={self.id!r}, name={self.name!r}, workspace={self.workspace!r}, scopes={self.scopes!r})"


class ApiKeyPage(Struct, frozen=True, kw_only=True):
    """One page of keys, newest first."""

    keys: tuple[ApiKey, ...]
    has_more: bool


def generate_key() -> str:
    """Generate a random key."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def may_be_generated(key: str) -> bool:
    """Check if a key can be one that this program generated: all keys in the database are."""
    return key.startswith((PREFIX, OLD_PREFIX))


def hash_key(key: str) -> bytes:
    """Return the SHA-256 under which a key is stored; keys are random, so a slow hash would add no protection."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()
