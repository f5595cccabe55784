"""Opens the secrets of a database for a command, with or without a running gateway."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from batchgate.engine.model.clock import SystemClock
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.ports.secret_store import SecretStore
from batchgate.engine.tenancy.secrets import Secrets
from batchgate.installation import NEEDS_POSTGRES_EXTRA
from batchgate.master_key import cipher
from batchgate.settings import Settings


@asynccontextmanager
async def opened_secrets(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[Secrets]:
    """Open the secrets of the database that the settings name; other tables are not touched."""
    encryption = cipher(settings, environment)
    async with _store(settings) as store:
        yield Secrets(store, encryption, SystemClock())


def _store(settings: Settings) -> AbstractAsyncContextManager[SecretStore]:
    """Choose the database, and import only its module."""
    if settings.database_url is not None:
        try:
            from batchgate.store.postgres import secrets as postgres  # noqa: PLC0415 - comes with an extra
        except ImportError as error:
            raise ConfigurationError("database_url", NEEDS_POSTGRES_EXTRA) from error
        return postgres.open_secrets(settings.database_url)
    from batchgate.store.sqlite import secrets as sqlite  # noqa: PLC0415 - not needed for the other

    return sqlite.open_secrets(Path(settings.data_dir) / "batchgate.db")
