"""Authenticates callers by their API keys."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hmac import compare_digest

from aiohttp import web
from msgspec import Struct

from batchgate.api.client_address import Network, client_address
from batchgate.api.session_cookie import SessionCookies
from batchgate.api.wrong_key_brake import WrongKeyBrake, too_many_wrong_keys
from batchgate.engine.model.api_key import ANONYMOUS, Caller, hash_key, may_be_generated
from batchgate.engine.model.errors import RefusedError, StoreError
from batchgate.engine.tenancy.api_key_cache import ApiKeyCache

KEY_HEADERS = ("x-api-key", "x-goog-api-key", "x-bf-vk")
"""Headers that may hold a key, besides ``Authorization: Bearer``.

``x-bf-vk``, and keys that begin with ``sk-bf-``, are accepted for clients that were written for Bifrost, whose virtual
keys look like this. Batchgate's own keys begin with ``bg-``; the settings may hold keys of any form.
"""


class ConfiguredKey(Struct, frozen=True, kw_only=True):
    """An API key of the settings, stored as its hash."""

    digest: bytes
    """SHA-256 of the key."""
    caller: Caller


class Authenticator:
    """Finds the caller by the keys of the settings and of the database; without any keys, callers are anonymous."""

    def __init__(
        self,
        configured: Iterable[ConfiguredKey],
        key_cache: ApiKeyCache,
        cookies: SessionCookies,
        trusted_proxies: Sequence[Network] = (),
    ) -> None:
        self._configured = tuple(configured)
        self._key_cache = key_cache
        self._cookies = cookies
        self._trusted_proxies = trusted_proxies
        self._brake = WrongKeyBrake()

    async def is_open(self) -> bool:
        """Check if there are no keys at all, so that calls need none."""
        return not self._configured and not await self._key_cache.has_keys()

    async def authenticate(self, request: web.Request) -> Caller:
        """Return the caller; raises `RefusedError` without a valid key, or with keys of several workspaces."""
        caller = await self.find_caller(request)
        if caller is None:
            raise RefusedError(
                "authentication_error", "An API key is needed: send it as x-api-key or as Authorization: Bearer."
            )
        return caller

    async def find_caller(self, request: web.Request) -> Caller | None:
        """Return the caller; None without any key. Raises `RefusedError` like `authenticate`.

        A key in a header takes precedence over the one in the cookie of a session.
        """
        if await self.is_open():
            return ANONYMOUS
        given = _sent_keys(request)
        if not given and (key := self._cookies.find_key(request)) is not None:
            given = [key]
        return await self.caller_of(request, given) if given else None

    async def caller_of(self, request: web.Request, keys: Iterable[str]) -> Caller:
        """Return the caller whose keys a request has somewhere; raises `RefusedError` like `authenticate`."""
        found = await self._find_all(keys, client_address(request, self._trusted_proxies))
        if any(caller.workspace != found[0].workspace for caller in found):
            raise RefusedError("authentication_error", "API keys of several workspaces were sent; send one of them.")
        return found[0]

    async def is_operator(self, request: web.Request) -> bool:
        """Check if the caller may see details of the process: its key has the scope admin, or no call needs a key.

        While the database does not answer, only keys of the settings are known.
        """
        try:
            caller = await self.authenticate(request)
        except (RefusedError, StoreError):
            return False
        return "admin" in caller.scopes

    async def _find_all(self, candidates: Iterable[str], address: str) -> list[Caller]:
        """Find the callers of keys; raises `RefusedError` if there are none, and slows down who sends such keys."""
        found, refusal = [], RefusedError("authentication_error", "The API key is not known to this gateway.")
        for candidate in candidates:
            try:
                caller = await self._find(candidate, address)
            except RefusedError as error:  # another of the keys may be a good one
                refusal = error
            else:
                found += [] if caller is None else [caller]
        if not found:
            raise too_many_wrong_keys() if self._brake.record_wrong_key(address) else refusal
        return found

    async def _find(self, candidate: str, address: str) -> Caller | None:
        """Find the caller of a key; every configured key is compared, for constant time.

        Only a key that may be in the database is looked up there. One that was found before is never slowed down.
        """
        digest = hash_key(candidate)
        matches = [key.caller for key in self._configured if compare_digest(key.digest, digest)]
        if matches:
            return matches[0]
        if not may_be_generated(candidate):
            return None
        if self._key_cache.exists(digest):
            key = await self._key_cache.find(digest)
        else:
            async with self._brake.lookup(address):
                key = await self._key_cache.find(digest)
        return None if key is None else key.caller


def _sent_keys(request: web.Request) -> list[str]:
    """Return the distinct keys of a request; raises `RefusedError` for a header that is given several times."""
    for name in ("Authorization", *KEY_HEADERS):
        if (times := len(request.headers.getall(name, []))) > 1:
            raise RefusedError("authentication_error", f"{name}: it is given {times} times; give it once.")
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    offered = [bearer, *(request.headers.get(name, "") for name in KEY_HEADERS)]
    return list(dict.fromkeys(key for key in offered if key))
