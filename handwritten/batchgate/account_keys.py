"""Where the key of an account comes from: the settings, the environment, a file, the database, or a token endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Final, TypeAlias

from msgspec import Struct

from batchgate.account_settings import AccountSettings
from batchgate.engine.model.clock import MICROSECONDS
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.redacted_repr import redacted_repr
from batchgate.engine.ports.provider import Transport
from batchgate.providers.google.access_tokens import AccessTokens
from batchgate.settings import secret

ReadKey: TypeAlias = Callable[[], Awaitable[str]]
ReadSecret: TypeAlias = Callable[[str, str], Awaitable[str]]
"""Reads a secret by name; the second argument is the setting that a `ConfigurationError` names."""

KEY_SETTINGS: Final = ("api_key", "api_key_env", "api_key_file", "api_key_secret")


class AccountKey(Struct, frozen=True, kw_only=True):
    """A key, or how it is read."""

    value: str | None
    """The key, if it is known at the start."""
    read: ReadKey | None = None
    """Reads a key from where it may be replaced; None if it is known."""
    reject: Callable[[str | None], None] = lambda _: None
    """Is told of a key that the provider has rejected."""

    def __repr__(self) -> str:
        """Return a repr without the key."""
        return redacted_repr(self, "value")

    def reporting(self, remember: Callable[[str], None]) -> ReadKey | None:
        """Return the reader of the key, which reports each key that it has read."""
        if self.read is None:
            return None
        read = self.read

        async def read_and_remember() -> str:
            key = await read()
            remember(key)
            return key

        return read_and_remember


def account_key(
    name: str, given: AccountSettings, environment: Mapping[str, str], read_secret: ReadSecret
) -> AccountKey:
    """Return the key of an account; raises `ConfigurationError` if several settings give one."""
    _check_one_key_setting(name, given)
    value = secret(given.api_key, given.api_key_env, f"accounts.{name}.api_key_env", environment)
    if given.api_key_file is not None:
        read = partial(_read_key_file, f"accounts.{name}.api_key_file", Path(given.api_key_file))
        return AccountKey(value=value, read=partial(asyncio.to_thread, read))
    if given.api_key_secret is not None:
        return AccountKey(
            value=value, read=partial(read_secret, given.api_key_secret, f"accounts.{name}.api_key_secret")
        )
    return AccountKey(value=value)


def project_key(
    name: str,
    given: AccountSettings,
    key: AccountKey,
    transport: Transport,
    *,
    own_host: str,
    now: Callable[[], int],
) -> AccountKey:
    """Return the key of an account with a project: access tokens, for the service account whose key it has.

    ``now`` returns microseconds.
    """
    place = next((place for place in reversed(KEY_SETTINGS) if getattr(given, place) is not None), KEY_SETTINGS[0])

    async def read_value() -> str:
        return key.value or ""

    tokens = AccessTokens(
        key.read or read_value,
        transport,
        setting=f"accounts.{name}.{place}",
        own_host=own_host,
        now=lambda: now() / MICROSECONDS,
    )
    return AccountKey(value=None, read=tokens.read, reject=tokens.reject)


def _check_one_key_setting(name: str, given: AccountSettings) -> None:
    named = [place for place in KEY_SETTINGS if getattr(given, place) is not None]
    # api_key_env beside api_key is allowed: it takes precedence.
    if len(named) > 1 and named != ["api_key", "api_key_env"]:
        raise ConfigurationError(f"accounts.{name}.{named[-1]}", f"only one of {', '.join(KEY_SETTINGS)}")


def _read_key_file(setting: str, path: Path) -> str:
    try:
        key = path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(setting, f"a readable file with the key in it: {error}") from error
    if not key:
        raise ConfigurationError(setting, f"a readable file with the key in it: {path} is empty")
    return key
