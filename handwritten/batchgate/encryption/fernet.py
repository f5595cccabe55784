"""`Cipher` by Fernet of the package cryptography: AES-128 in CBC mode, authenticated by HMAC-SHA-256.

The name of a secret is encrypted with its value, so that a ciphertext that was moved to another name opens nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from msgspec import Struct

from batchgate.engine.model.errors import ConfigurationError

LENGTH: Final = 44
"""Characters of a master key: 32 bytes in base64."""


class _Content(Struct, frozen=True):
    """What is encrypted."""

    name: str
    value: str

    def __repr__(self) -> str:
        """Show the name without the value."""
        return f"_Content({self.name!r})"


class FernetCipher:
    """Encrypts with the first of some master keys and decrypts with any, so that they can be replaced one by one."""

    def __init__(self, keys: Sequence[str], source: str) -> None:
        self._source = source
        self._fernet = MultiFernet([self._fernet_of(number, key) for number, key in enumerate(keys, 1)])

    def encrypt(self, name: str, value: str) -> bytes:
        """Encrypt the value of a secret."""
        return self._fernet.encrypt(msgspec.json.encode(_Content(name, value)))

    def decrypt(self, name: str, ciphertext: bytes) -> str:
        """Decrypt the value of a secret; raises `ConfigurationError` if none of the keys opens it."""
        try:
            content = msgspec.json.decode(self._fernet.decrypt(ciphertext), type=_Content)
        except (InvalidToken, msgspec.DecodeError) as error:
            raise self._unreadable(name) from error
        if content.name != name:
            raise self._unreadable(name)
        return content.value

    def _unreadable(self, name: str) -> ConfigurationError:
        expected = f"the master key that the secret {name!r} was encrypted with; none given opens it, or it is damaged"
        return ConfigurationError(self._source, expected)

    def _fernet_of(self, number: int, key: str) -> Fernet:
        expected = f"master keys as `batchgate secrets master-key` makes them; number {number} is none"
        if len(key) != LENGTH:  # base64 passes over what stands behind its end
            raise ConfigurationError(self._source, expected)
        try:
            return Fernet(key)
        except ValueError as error:
            raise ConfigurationError(self._source, expected) from error


def new_master_key() -> str:
    """Make a master key."""
    return Fernet.generate_key().decode()
