"""`SecretStore` on the SQLite file of the store."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from batchgate.engine.model.secret import Ciphertext, Secret
from batchgate.store.records import secret_from_row
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.migrate import migrate
from batchgate.store.sqlite.transactions import QUERIES


class SqliteSecrets:
    """Secrets in the file of the batches, which the caller opens and closes."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    async def put_secret(self, name: str, ciphertext: bytes, now: int) -> Secret:
        """Store a secret or replace its ciphertext, and return the stored secret."""
        (row,) = await self._write("put_secret", {"name": name, "ciphertext": ciphertext, "now": now})
        return secret_from_row(row)

    async def find_secret(self, name: str) -> Secret | None:
        """Read a secret."""
        return next(iter(await self._read("find_secret", {"name": name})), None)

    async def list_secrets(self) -> Sequence[Secret]:
        """Read all secrets in the order of their names."""
        return await self._read("list_secrets", {})

    async def delete_secret(self, name: str) -> bool:
        """Delete a secret; False if none has this name."""
        return bool(await self._write("delete_secret", {"name": name}))

    async def list_ciphertexts(self) -> Sequence[Ciphertext]:
        """Read everything that is encrypted with a master key."""
        rows = await self._file.read(lambda connection: connection.execute(QUERIES["list_ciphertexts"]).fetchall())
        return [Ciphertext(name=row["name"], ciphertext=row["ciphertext"]) for row in rows]

    async def reencrypt_secret(self, name: str, old: bytes, new: bytes) -> bool:
        """Replace the ciphertext of an unchanged value; False if the secret no longer has the old ciphertext."""
        params = {"name": name, "old": old, "new": new}
        return any([await self._write(query, params) for query in ("reencrypt_secret", "reencrypt_webhook")])

    async def _read(self, query: str, params: Mapping[str, object]) -> Sequence[Secret]:
        rows = await self._file.read(lambda connection: connection.execute(QUERIES[query], params).fetchall())
        return [secret_from_row(row) for row in rows]

    async def _write(self, query: str, params: Mapping[str, object]) -> list[sqlite3.Row]:
        return await self._file.write(lambda connection: connection.execute(QUERIES[query], params).fetchall())


@asynccontextmanager
async def open_secrets(path: Path) -> AsyncIterator[SqliteSecrets]:
    """Open the secrets of a file and nothing else in it: a gateway may be using the file."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = SqliteFile(path)
    file.start()
    try:
        await asyncio.to_thread(migrate, file.connect)
        yield SqliteSecrets(file)
    finally:
        await file.close()
