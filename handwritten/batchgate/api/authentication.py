"""API keys: in which headers they come, and who calls with which."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable

from aiohttp import web
from msgspec import Struct

from batchgate.engine.api_keys import NOBODY, Caller
from batchgate.engine.errors import RefusedError

KEY_HEADERS = ("x-api-key", "x-goog-api-key", "x-bf-vk")
"""Where a key may stand, besides ``Authorization: Bearer``."""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key that may call the gateway, known by its hash."""

    digest: bytes
    """SHA-256 of the key."""
    caller: Caller


class Authenticator:
    """Tells who calls. With no keys configured everybody is the default workspace."""

    def __init__(self, keys: Iterable[ApiKey]) -> None:
        self._keys = tuple(keys)

    def authenticate(self, request: web.Request) -> Caller:
        """Tell who calls; raises `RefusedError` when none is good."""
        if not self._keys:
            return NOBODY
        given = _keys_in(request)
        if not given:
            raise RefusedError(
                "authentication_error", "An API key is needed: send it as x-api-key or as Authorization: Bearer."
            )
        for candidate in given:
            found = self._find(candidate)
            if found is not None:
                return found.caller
        raise RefusedError("authentication_error", "The API key is not known to this gateway.")

    def _find(self, candidate: str) -> ApiKey | None:
        digest = digest_of(candidate)
        matches = [key for key in self._keys if hmac.compare_digest(key.digest, digest)]
        return matches[0] if matches else None


def digest_of(key: str) -> bytes:
    """Hash a key as it is stored."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def _keys_in(request: web.Request) -> list[str]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    offered = [bearer, *(request.headers.get(name, "") for name in KEY_HEADERS)]
    return [key for key in offered if key]
