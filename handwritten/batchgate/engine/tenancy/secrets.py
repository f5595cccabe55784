"""Keys in the database: they go in, and come out only towards their provider."""

from __future__ import annotations

import re
from collections.abc import Sequence

from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import ConfigurationError, RefusedError
from batchgate.engine.model.secret import MAX_VALUE_LENGTH, NAME_PATTERN, Secret
from batchgate.engine.ports.cipher import Cipher
from batchgate.engine.ports.secret_store import SecretStore

NO_MASTER_KEY = "there is no master key to encrypt it with; set BATCHGATE_MASTER_KEY or master_key_file"


class Secrets:
    """Stores, lists and deletes secrets, and reads their values for those who call a provider."""

    def __init__(self, store: SecretStore, cipher: Cipher | None, clock: Clock) -> None:
        self._store = store
        self._cipher = cipher
        self._clock = clock

    async def put(self, name: str, value: str) -> Secret:
        """Store a secret, or replace its value; raises `RefusedError`, which does not quote it."""
        _check_name(name)
        value = value.strip()
        if not (0 < len(value) <= MAX_VALUE_LENGTH and value.isascii() and value.isprintable()):
            message = f"value: it must be 1 to {MAX_VALUE_LENGTH} visible ASCII characters"
            raise RefusedError("invalid_request_error", message, param="value")
        if self._cipher is None:
            raise RefusedError("invalid_request_error", NO_MASTER_KEY, code="no_master_key")
        return await self._store.put_secret(name, self._cipher.encrypt(name, value), self._clock.now())

    async def list(self) -> Sequence[Secret]:
        """Read all secrets in the order of their names."""
        return await self._store.list_secrets()

    async def delete(self, name: str) -> None:
        """Delete a secret; raises `RefusedError` if there is none of this name."""
        _check_name(name)
        if not await self._store.delete_secret(name):
            raise RefusedError("not_found_error", f"no secret is called {name!r}")

    async def value(self, name: str, setting: str) -> str:
        """Read the value of a secret that a setting names; raises `ConfigurationError`."""
        if self._cipher is None:
            raise ConfigurationError(setting, "a master key beside it: set BATCHGATE_MASTER_KEY or master_key_file")
        secret = await self._store.find_secret(name)
        if secret is None:
            raise ConfigurationError(setting, f"a secret that is there; `batchgate secrets set {name}` stores it")
        return self._cipher.decrypt(name, secret.ciphertext)

    async def reencrypt(self) -> int:
        """Encrypt every secret with the first master key and count them, none being lost to one that comes meanwhile.

        Raises `ConfigurationError` if one cannot be decrypted; then none is changed.
        """
        if self._cipher is None:
            raise ConfigurationError("BATCHGATE_MASTER_KEY, master_key_file", "a master key")
        cipher, secrets = self._cipher, await self._store.list_secrets()
        values = {secret.name: cipher.decrypt(secret.name, secret.ciphertext) for secret in secrets}
        for secret in secrets:
            again = cipher.encrypt(secret.name, values[secret.name])
            await self._store.reencrypt_secret(secret.name, secret.ciphertext, again)
        return len(secrets)


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        message = "name: it must be 1 to 64 letters, digits, dots, hyphens and underscores, the first of these first"
        raise RefusedError("invalid_request_error", message, param="name")
