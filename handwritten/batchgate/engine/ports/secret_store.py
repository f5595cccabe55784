"""Storage of encrypted secrets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from batchgate.engine.model.secret import Ciphertext, Secret


class SecretStore(Protocol):
    """Keeps secrets as ciphertexts; every write is durable when its call returns. Raises `StoreError`."""

    async def put_secret(self, name: str, ciphertext: bytes, now: int) -> Secret:
        """Store a secret or replace its ciphertext, and return the stored secret."""
        ...

    async def find_secret(self, name: str) -> Secret | None:
        """Read a secret."""
        ...

    async def list_secrets(self) -> Sequence[Secret]:
        """Read all secrets in the order of their names."""
        ...

    async def delete_secret(self, name: str) -> bool:
        """Delete a secret; False if there is none of this name."""
        ...

    async def list_ciphertexts(self) -> Sequence[Ciphertext]:
        """Read everything that is encrypted with a master key: secrets, and those that sign the events of webhooks."""
        ...

    async def reencrypt_secret(self, name: str, old: bytes, new: bytes) -> bool:
        """Replace the ciphertext ``old`` by ``new``, of the same value; False if ``old`` is no longer stored.

        ``name`` is that of the `Ciphertext`.
        """
        ...
