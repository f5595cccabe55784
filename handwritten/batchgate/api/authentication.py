"""API keys: in which headers they come, and who calls with which."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest

from aiohttp import web
from msgspec import Struct

from batchgate.engine.model.api_key import ANONYMOUS, ApiKey, Caller, hash_key
from batchgate.engine.model.errors import RefusedError
from batchgate.engine.tenancy.api_key_cache import ApiKeyCache

KEY_HEADERS = ("x-api-key", "x-goog-api-key", "x-bf-vk")
"""Where a key may stand, besides ``Authorization: Bearer``."""


class ConfiguredKey(Struct, frozen=True, kw_only=True):
    """A key of the settings, known by its hash."""

    digest: bytes
    """SHA-256 of the key."""
    caller: Caller


class Authenticator:
    """Tells who calls, by the keys of the settings and those of the database; where there are none it is nobody."""

    def __init__(self, configured: Iterable[ConfiguredKey], ring: ApiKeyCache) -> None:
        self._configured = tuple(configured)
        self._ring = ring

    async def is_open(self) -> bool:
        """Tell if there are no keys at all, so that whoever reaches the gateway may call."""
        return not self._configured and not await self._ring.has_keys()

    async def authenticate(self, request: web.Request) -> Caller:
        """Tell who calls; raises `RefusedError` when no key is good, or good ones are of several workspaces."""
        if await self.is_open():
            return ANONYMOUS
        given = _keys_in(request)
        if not given:
            raise RefusedError(
                "authentication_error", "An API key is needed: send it as x-api-key or as Authorization: Bearer."
            )
        found = [caller for key in given if (caller := await self._find(key)) is not None]
        if not found:
            raise RefusedError("authentication_error", "The API key is not known to this gateway.")
        if any(caller.workspace != found[0].workspace for caller in found):
            raise RefusedError("authentication_error", "API keys of several workspaces were sent; send one of them.")
        return found[0]

    async def _find(self, candidate: str) -> Caller | None:
        """Look a key up; all those of the settings are compared, whichever it is."""
        digest = hash_key(candidate)
        matches = [key.caller for key in self._configured if compare_digest(key.digest, digest)]
        if matches:
            return matches[0]
        key: ApiKey | None = await self._ring.find(digest)
        return None if key is None else key.caller


def _keys_in(request: web.Request) -> list[str]:
    """Read each key that was sent, once."""
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    offered = [bearer, *(request.headers.get(name, "") for name in KEY_HEADERS)]
    return list(dict.fromkeys(key for key in offered if key))
