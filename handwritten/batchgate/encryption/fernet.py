"""`Cipher` by Fernet of the package cryptography: AES-128 in CBC mode, authenticated by HMAC-SHA-256.

The name of a secret is encrypted together with its value, so that a ciphertext under another name is rejected.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from msgspec import Struct

from batchgate.engine.model.errors import ConfigurationError

MASTER_KEY_LENGTH: Final = 44
"""Characters of a master key: 32 bytes in base64."""


class _Plaintext(Struct, frozen=True):
    """The plaintext of a secret: its name and value."""

    name: str
    value: str

    def __repr__(self) -> str:
        """Show the name without the value."""
        return f"_Content({self.name!r})"


class FernetCipher:
    """Encrypts with the first master key and decrypts with any of them, so that keys can be rotated."""

    def __init__(self, keys: Sequence[str], source: str) -> None:
        self._source = source
        self._fernet = MultiFernet([self._parse_key(number, key) for number, key in enumerate(keys, 1)])

    def encrypt(self, name: str, value: str) -> bytes:
        """Encrypt the value of a secret."""
        return self._fernet.encrypt(msgspec.json.encode(_Plaintext(name, value)))

    def decrypt(self, name: str, ciphertext: bytes) -> str:
        """Decrypt the value of a secret; raises `ConfigurationError` if no master key decrypts it."""
        try:
            content = msgspec.json.decode(self._fernet.decrypt(ciphertext), type=_Plaintext)
        except (InvalidToken, msgspec.DecodeError) as error:
            raise self._unreadable(name) from error
        if content.name != name:
            raise self._unreadable(name)
        return content.value

    def _unreadable(self, name: str) -> ConfigurationError:
        expected = (
            f"the master key that the secret {name!r} was encrypted with; no given key decrypts it, or it is damaged"
        )
        return ConfigurationError(self._source, expected)

    def _parse_key(self, number: int, key: str) -> Fernet:
        expected = f"master keys made by `batchgate secrets master-key`; number {number} is not one"
        if len(key) != MASTER_KEY_LENGTH:  # base64 ignores what follows its padding
            raise ConfigurationError(self._source, expected)
        try:
            return Fernet(key)
        except ValueError as error:
            raise ConfigurationError(self._source, expected) from error


def new_master_key() -> str:
    """Generate a master key."""
    return Fernet.generate_key().decode()
