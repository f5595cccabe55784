"""Encryption of secrets."""

from __future__ import annotations

from typing import Protocol


class Cipher(Protocol):
    """Encrypts secrets with a master key."""

    def encrypt(self, name: str, value: str) -> bytes:
        """Encrypt the value of a secret."""
        ...

    def decrypt(self, name: str, ciphertext: bytes) -> str:
        """Decrypt the value of a secret; raises `ConfigurationError` if no configured master key can."""
        ...
