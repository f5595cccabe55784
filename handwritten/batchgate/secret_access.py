"""The secrets of a database for a command, whether a gateway works on it or not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from batchgate.engine.clock import SystemClock
from batchgate.engine.ports import SecretStore
from batchgate.engine.secrets import Secrets
from batchgate.master_key import cipher
from batchgate.settings import Settings
from batchgate.store.sqlite.connection import SqliteFile
from batchgate.store.sqlite.migrate import migrate
from batchgate.store.sqlite.secrets import SqliteSecrets


@asynccontextmanager
async def opened_secrets(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Secrets]:
    """Open the secrets of the database that the settings name; nothing else in it is touched."""
    encryption = cipher(settings, environment)
    async with _store(settings) as store:
        yield Secrets(store, encryption, SystemClock())


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[SecretStore]:
    if settings.database_url is not None:
        from batchgate.store.postgres.secrets import opened_postgres_secrets

        async with opened_postgres_secrets(settings.database_url) as secrets:
            yield secrets
        return
    Path(settings.data_dir).mkdir(parents=True, exist_ok=True)
    file = SqliteFile(Path(settings.data_dir) / "batchgate.db")
    file.start()
    try:
        await asyncio.to_thread(migrate, file.connect)
        yield SqliteSecrets(file)
    finally:
        await file.close()
