"""`SecretStore` on the PostgreSQL database of the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from batchgate.engine.model.secret import Secret
from batchgate.store.postgres.address import Address
from batchgate.store.postgres.connection import Bound, PostgresPool, Row
from batchgate.store.postgres.migrate import migrate
from batchgate.store.records import secret_of


class PostgresSecrets:
    """Secrets in the database that the batches are in, on a pool that somebody else opens and closes."""

    def __init__(self, pool: PostgresPool) -> None:
        self._pool = pool

    async def put_secret(self, name: str, ciphertext: bytes, now: int) -> Secret:
        """Store a secret or replace its ciphertext, and answer with how it is stored now."""
        (row,) = await self._write("put_secret", {"name": name, "ciphertext": ciphertext, "now": now}, repeatable=True)
        return secret_of(row)

    async def find_secret(self, name: str) -> Secret | None:
        """Read a secret."""
        row = await self._pool.one("find_secret", {"name": name})
        return None if row is None else secret_of(row)

    async def list_secrets(self) -> Sequence[Secret]:
        """Read all secrets in the order of their names."""
        return [secret_of(row) for row in await self._pool.rows("list_secrets", {})]

    async def delete_secret(self, name: str) -> bool:
        """Delete a secret; False if there is none of this name."""
        return bool(await self._write("delete_secret", {"name": name}))

    async def reencrypt_secret(self, name: str, old: bytes, new: bytes) -> bool:
        """Give a secret a new ciphertext of the same value; False if it no longer has the old one."""
        return bool(await self._write("reencrypt_secret", {"name": name, "old": old, "new": new}))

    async def _write(self, query: str, bound: Bound, *, repeatable: bool = False) -> list[Row]:
        return await self._pool.write(lambda transaction: transaction.rows(query, bound), repeatable=repeatable)


@asynccontextmanager
async def opened_secrets(url: str) -> AsyncIterator[PostgresSecrets]:
    """Open the secrets of a database, as one more of those that work on it."""
    address = Address(url)
    await asyncio.to_thread(migrate, address)
    pool = PostgresPool(address)
    try:
        await pool.open()
        yield PostgresSecrets(pool)
    finally:
        await pool.close()
