"""The two ends of a transfer: the installations that a data folder or a settings file names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

from batchgate.blobs import BucketBlobs, FolderBlobs, open_blobs, place_of
from batchgate.data_lock import exclusive_folder
from batchgate.engine.model.errors import ConfigurationError
from batchgate.settings import ENVIRONMENT_PREFIX, SIMPLE, Settings, load_settings
from batchgate.store.sqlite.tables import SqliteRows
from batchgate.store.tables import NewRows

Place: TypeAlias = FolderBlobs | BucketBlobs

DATABASE: Final = "batchgate.db"


class InstallationEnd:
    """One installation: where its rows and its bodies are."""

    def __init__(self, settings: Settings, environment: Mapping[str, str]) -> None:
        self._settings = settings
        self._environment = environment

    @property
    def folder(self) -> Path:
        """The data folder."""
        return Path(self._settings.data_dir)

    @property
    def database(self) -> str:
        """Say where the rows are, as people may read it."""
        return self._settings.database_display or str(self.folder.resolve() / DATABASE)

    @property
    def bodies(self) -> str:
        """Say where the bodies are, as people may read it."""
        return place_of(self._settings.blob_url, self.folder)

    def blobs(self) -> Place:
        """Open the place for bodies."""
        return open_blobs(self._settings.blob_url, self.folder, self._settings.storage_options, self._environment)

    @contextmanager
    def rows(self, *, new: bool) -> Iterator[NewRows]:
        """Open the rows, with nobody else at them."""
        with ExitStack() as entered:
            if self._settings.database_url is not None:
                yield entered.enter_context(_postgres(self._settings.database_url, new=new))
                return
            if not new and not (self.folder / DATABASE).is_file():
                raise ConfigurationError("--from", f"a data folder of a gateway; {self.folder} has no {DATABASE}")
            in_use = f"a gateway runs on {self.folder}, and must be stopped first"
            entered.enter_context(exclusive_folder(self.folder, in_use))
            yield entered.enter_context(SqliteRows(self.folder / DATABASE, new=new).opened())


@contextmanager
def _postgres(url: str, *, new: bool) -> Iterator[NewRows]:
    try:
        from batchgate.store.postgres import Address  # noqa: PLC0415 - comes with an extra
        from batchgate.store.postgres.tables import PostgresRows  # noqa: PLC0415 - likewise
    except ImportError as error:
        missing = "for PostgreSQL there is more to be installed: pip install 'batchgate[postgres]'"
        raise ConfigurationError("database_url", missing) from error
    with PostgresRows(Address(url), new=new).opened() as rows:
        yield rows


def end_of(path: Path, environment: Mapping[str, str], *, use_environment: bool) -> InstallationEnd:
    """Read a data folder, or a settings file; the environment's settings are of one end only."""
    known = {ENVIRONMENT_PREFIX + name.upper() for name in SIMPLE} if not use_environment else set()
    kept = {name: value for name, value in environment.items() if name not in known}
    if path.is_file():
        return InstallationEnd(load_settings(path, kept), environment)
    return InstallationEnd(Settings(data_dir=str(path)), environment)
