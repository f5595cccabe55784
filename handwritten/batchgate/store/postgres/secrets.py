"""`SecretStore` on the PostgreSQL database of the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from batchgate.engine.model.secret import Ciphertext, Secret
from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.postgres.connection import Params, PostgresPool, Row
from batchgate.store.postgres.migrate import migrate
from batchgate.store.records import secret_from_row


class PostgresSecrets:
    """Secrets in the database of the batches, on a pool that the caller opens and closes."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def put_secret(self, name: str, ciphertext: bytes, now: int) -> Secret:
        """Store a secret or replace its ciphertext, and return the stored secret."""
        (row,) = await self._write("put_secret", {"name": name, "ciphertext": ciphertext, "now": now}, repeatable=True)
        return secret_from_row(row)

    async def find_secret(self, name: str) -> Secret | None:
        """Read a secret."""
        row = await self._pool.fetch_one("find_secret", {"name": name})
        return None if row is None else secret_from_row(row)

    async def list_secrets(self) -> Sequence[Secret]:
        """Read all secrets in the order of their names."""
        return [secret_from_row(row) for row in await self._pool.fetch_all("list_secrets", {})]

    async def delete_secret(self, name: str) -> bool:
        """Delete a secret; False if none has this name."""
        return bool(await self._write("delete_secret", {"name": name}))

    async def list_ciphertexts(self) -> Sequence[Ciphertext]:
        """Read everything that is encrypted with a master key."""
        rows = await self._pool.fetch_all("list_ciphertexts", {})
        return [Ciphertext(name=row["name"], ciphertext=row["ciphertext"]) for row in rows]

    async def reencrypt_secret(self, name: str, old: bytes, new: bytes) -> bool:
        """Replace the ciphertext of an unchanged value; False if the secret no longer has the old ciphertext."""
        params = {"name": name, "old": old, "new": new}
        return any([await self._write(query, params) for query in ("reencrypt_secret", "reencrypt_webhook")])

    async def _write(self, query: str, params: Params, *, repeatable: bool = False) -> list[Row]:
        return await self._pool.write(lambda transaction: transaction.fetch_all(query, params), repeatable=repeatable)


@asynccontextmanager
async def open_secrets(url: str) -> AsyncIterator[PostgresSecrets]:
    """Open the secrets of a database, which gateways may be using."""
    address = PostgresAddress(url)
    await asyncio.to_thread(migrate, address)
    pool = PostgresPool(address)
    try:
        await pool.open()
        yield PostgresSecrets(pool)
    finally:
        await pool.close()
