"""Secrets: provider keys that are stored encrypted and decrypted only for calls to the provider."""

from __future__ import annotations

import re
from collections.abc import Sequence

from batchgate.engine.model.clock import Clock
from batchgate.engine.model.errors import ConfigurationError, RefusedError
from batchgate.engine.model.secret import MAX_VALUE_LENGTH, NAME_PATTERN, Secret
from batchgate.engine.ports.cipher import Cipher
from batchgate.engine.ports.secret_store import SecretStore

NO_MASTER_KEY = "there is no master key to encrypt the secret; set BATCHGATE_MASTER_KEY or master_key_file"


class Secrets:
    """Stores, lists and deletes secrets, and decrypts their values."""

    def __init__(self, store: SecretStore, cipher: Cipher | None, clock: Clock) -> None:
        self._store = store
        self._cipher = cipher
        self._clock = clock

    async def put(self, name: str, value: str) -> Secret:
        """Store a secret, or replace its value; raises `RefusedError`, which never quotes the value."""
        _check_name(name)
        value = value.strip()
        if not (0 < len(value) <= MAX_VALUE_LENGTH and value.isascii() and value.isprintable()):
            message = f"value: it must be 1 to {MAX_VALUE_LENGTH} visible ASCII characters"
            raise RefusedError("invalid_request_error", message, param="value")
        if self._cipher is None:
            raise RefusedError("invalid_request_error", NO_MASTER_KEY, code="no_master_key")
        return await self._store.put_secret(name, self._cipher.encrypt(name, value), self._clock.now())

    async def list(self) -> Sequence[Secret]:
        """Return all secrets in the order of their names."""
        return await self._store.list_secrets()

    async def delete(self, name: str) -> None:
        """Delete a secret; raises `RefusedError` if there is none of this name."""
        _check_name(name)
        if not await self._store.delete_secret(name):
            raise RefusedError("not_found_error", f"there is no secret {name!r}")

    async def value(self, name: str, setting: str) -> str:
        """Return the value of a secret that a setting names; raises `ConfigurationError`."""
        if self._cipher is None:
            raise ConfigurationError(setting, "a master key; set BATCHGATE_MASTER_KEY or master_key_file")
        secret = await self._store.find_secret(name)
        if secret is None:
            raise ConfigurationError(
                setting, f"the name of a stored secret; store it with `batchgate secrets set {name}`"
            )
        return self._cipher.decrypt(name, secret.ciphertext)

    async def reencrypt(self) -> int:
        """Encrypt everything that is stored encrypted with the first master key, and return how much that is.

        A value that is replaced meanwhile is kept. Raises `ConfigurationError`, and changes nothing, if a value
        cannot be decrypted.
        """
        if self._cipher is None:
            raise ConfigurationError("BATCHGATE_MASTER_KEY, master_key_file", "a master key")
        cipher, stored = self._cipher, await self._store.list_ciphertexts()
        values = [cipher.decrypt(each.name, each.ciphertext) for each in stored]
        for each, value in zip(stored, values, strict=True):
            await self._store.reencrypt_secret(each.name, each.ciphertext, cipher.encrypt(each.name, value))
        return len(stored)


def _check_name(name: str) -> None:
    if not re.fullmatch(NAME_PATTERN, name):
        message = (
            "name: it must be 1 to 64 letters, digits, dots, hyphens and underscores, and begin with a letter or digit"
        )
        raise RefusedError("invalid_request_error", message, param="name")
