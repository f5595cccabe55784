"""The source and the target of a transfer: installations that a data folder or a settings file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from batchgate.blobs import BucketBlobs, FolderBlobs, blob_location, open_blobs
from batchgate.data_lock import exclusive_folder
from batchgate.engine.model.errors import ConfigurationError
from batchgate.settings import ENVIRONMENT_PREFIX, SIMPLE, Settings, load_settings
from batchgate.store.sqlite.tables import SqliteTables
from batchgate.store.tables import TableWriter

BlobStorage: TypeAlias = FolderBlobs | BucketBlobs

DATABASE: Final = "batchgate.db"


class TransferEndpoint:
    """The database and the blob storage of one installation."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self._settings.data_dir)

    @property
    def database_location(self) -> str:
        """The location of the database for display, without secrets."""
        return self._settings.database_display or str(self.folder.resolve() / DATABASE)

    @property
    def blob_location(self) -> str:
        """The location of the blobs for display, without secrets."""
        return blob_location(self._settings.blob_url, self.folder)

    def open_blobs(self) -> BlobStorage:
        """Open the blob storage."""
        return open_blobs(self._settings.blob_url, self.folder, self._settings.storage_options, self._environment)

    @contextmanager
    def open_tables(self, *, writable: bool) -> Iterator[TableWriter]:
        """Open the tables of the database exclusively; raises `ConfigurationError` or `StoreError`."""
        with ExitStack() as stack:
            if self._settings.database_url is not None:
                yield stack.enter_context(_postgres(self._settings.database_url, writable=writable))
                return
            if not writable and not (self.folder / DATABASE).is_file():
                raise ConfigurationError(
                    "--from", f"the data folder of a gateway; {self.folder} contains no {DATABASE}"
                )
            in_use = f"a gateway is using {self.folder}; stop it first"
            stack.enter_context(exclusive_folder(self.folder, in_use))
            yield stack.enter_context(SqliteTables(self.folder / DATABASE, writable=writable).open())


@contextmanager
def _postgres(url: str, *, writable: bool) -> Iterator[TableWriter]:
    try:
        from batchgate.store.postgres import PostgresAddress  # noqa: PLC0415 - comes with an extra
        from batchgate.store.postgres.tables import PostgresTables  # noqa: PLC0415 - likewise
    except ImportError as error:
        missing = "PostgreSQL needs an extra: pip install 'batchgate[postgres]'"
        raise ConfigurationError("database_url", missing) from error
    with PostgresTables(PostgresAddress(url), writable=writable).open() as tables:
        yield tables


def load_endpoint(path: Path, environment: Mapping[str, str], *, use_environment: bool) -> TransferEndpoint:
    """Return the endpoint at a data folder or settings file; only one endpoint takes settings from the environment."""
    ignored = {ENVIRONMENT_PREFIX + name.upper() for name in SIMPLE} if not use_environment else set()
    remaining = {name: value for name, value in environment.items() if name not in ignored}
    if path.is_file():
        return TransferEndpoint(load_settings(path, remaining), environment)
    return TransferEndpoint(Settings(data_dir=str(path)), environment)
