"""Access tokens of a service account: each is used until shortly before its end, or until Google rejects it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import ConfigurationError, UpstreamError
from batchgate.engine.model.provider_call import UpstreamRequest, UpstreamResponse
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.engine.ports.provider import Transport
from batchgate.providers.google.service_accounts import ServiceAccount, read_service_account, signed_assertion
from batchgate.providers.responses.provider_errors import redact_and_shorten
from batchgate.providers.responses.secret_forms import patterns

TOKEN_HOSTS: Final = frozenset({"oauth2.googleapis.com", "www.googleapis.com", "accounts.google.com"})
"""The hosts of Google that may get an assertion; a key cannot send it anywhere else."""
MARGIN: Final = 300.0
"""Seconds before its end from which on a token is replaced: a call or an upload that began must not outlive it."""
LEAST_AGE: Final = 60.0
"""Seconds for which a token is kept even if it is rejected: then it is the service account that may not call."""
TIMEOUT: Final = 10.0
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_DEFAULT_LIFE: Final = 3600.0


class _Granted(Struct, frozen=True):
    access_token: str
    expires_in: float = _DEFAULT_LIFE

    def __repr__(self) -> str:
        return redacted_repr(self, "access_token")


class _Refused(Struct, frozen=True):
    error: str = ""
    error_description: str = ""


class _Token(Struct, frozen=True):
    key: str
    """The key that it was made with."""
    value: str
    made: float
    expires: float

    def __repr__(self) -> str:
        return redacted_repr(self, "key", "value")


_GRANTED: Final = msgspec.json.Decoder(_Granted)
_REFUSED: Final = msgspec.json.Decoder(_Refused)


class AccessTokens:
    """The tokens of one account. Its caller lets no two calls of `read` run at once.

    ``read_key`` returns the key, which ``setting`` gives; ``own_host`` is the host and port of the account's URL, which
    may have the tokens too: it gets them with every call. ``now`` returns Unix seconds.
    """

    def __init__(
        self,
        read_key: Callable[[], Awaitable[str]],
        transport: Transport,
        *,
        setting: str,
        own_host: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._read_key: Final = read_key
        self._transport: Final = transport
        self._setting: Final = setting
        self._own_host: Final = own_host
        self._now: Final = now
        self._token: _Token | None = None

    async def read(self) -> str:
        """Return a token that is valid for some minutes; a key that is no JSON is one itself.

        Raises `ConfigurationError` for a key that cannot be used, and `UpstreamError` if Google gives no token.
        """
        key = await self._read_key()
        token = self._token
        if token is None or token.key != key or self._now() >= token.expires - MARGIN:
            account = read_service_account(key, self._setting)
            if account is None:
                return key
            token = self._token = await self._fetched(key, account)
        return token.value

    def reject(self, token: str | None) -> None:
        """Forget a token that Google has rejected, unless it is new."""
        if self._token and self._token.value == token and self._now() >= self._token.made + LEAST_AGE:
            self._token = None

    async def _fetched(self, key: str, account: ServiceAccount) -> _Token:
        host = self._allowed_host(account.token_uri)
        made = self._now()
        assertion = signed_assertion(account, self._setting, made)
        request = UpstreamRequest(
            url=account.token_uri,
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode({"grant_type": _GRANT, "assertion": assertion}).encode(),
            timeout=TIMEOUT,
        )
        response = await self._transport.send(request)
        try:
            granted = _GRANTED.decode(response.body) if response.status == 200 else None
        except DECODING_ERRORS:
            granted = None
        if granted is None:
            raise _refusal(response, host, assertion)
        return _Token(key, granted.access_token, made, made + granted.expires_in)

    def _allowed_host(self, uri: str) -> str:
        """Return the host of a token URI; raises `ConfigurationError` if it may not get an assertion."""
        parts = urlsplit(uri)
        is_google = parts.scheme == "https" and parts.netloc in TOKEN_HOSTS
        is_own = parts.scheme in {"http", "https"} and parts.netloc == self._own_host
        if not (is_google or is_own):
            shown = parts.netloc.rpartition("@")[2]
            raise ConfigurationError(self._setting, f"a key whose token_uri is one of Google, not at {shown!r}")
        return parts.netloc


def _refusal(response: UpstreamResponse, host: str, assertion: str) -> UpstreamError:
    """Make the error of a token endpoint; only the fields for errors are shown, without the assertion."""
    try:
        refused = _REFUSED.decode(response.body)
    except DECODING_ERRORS:
        refused = _Refused()
    words = ": ".join(filter(None, (refused.error, refused.error_description)))
    for pattern in patterns((assertion,)):
        words = pattern.sub("[key]", words)
    said = redact_and_shorten(words) or f"status {response.status}"
    is_denied = response.status in {400, 401, 403}
    return UpstreamError(
        "authentication_error" if is_denied else "api_error",
        f"{host} gives no access token to the service account: {said}",
        status=response.status,
        retry_safe=not is_denied,
    )
