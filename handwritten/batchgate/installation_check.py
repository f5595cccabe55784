"""Checks an installation without starting a gateway: keys, storage, and each account with one small call."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Literal, TypeAlias

from msgspec import Struct, structs

from batchgate.account_keys import ReadSecret
from batchgate.accounts import SIMULATOR, endpoints
from batchgate.blobs import blob_location, open_blobs
from batchgate.data_lock import is_locked
from batchgate.engine.dispatch.account_check import CheckOutcome, check_account
from batchgate.engine.dispatch.endpoint import AccountEndpoint
from batchgate.engine.model.errors import BatchgateError, ConfigurationError, RefusedError
from batchgate.installation import NEEDS_POSTGRES_EXTRA, wait_for_database
from batchgate.providers.transport.network_transport import NetworkTransport
from batchgate.providers.transport.proxy_transport import TransportSettings
from batchgate.secret_access import opened_secrets
from batchgate.settings import Settings, is_loopback, unknown_variables
from batchgate.store.sqlite.file_check import check_file

CheckState: TypeAlias = Literal["ok", "warning", "failed"]
"""``warning``: what may be meant so, or could not be checked."""
DATABASE_FILE: Final = "batchgate.db"
STORAGE_TIMEOUT: Final = 30.0
"""Seconds that a bucket may take."""


class Check(Struct, frozen=True, kw_only=True):
    """What was checked, and how that ended."""

    name: str
    """``settings``, ``keys``, ``data``, ``database``, ``files``, or ``account/NAME``."""
    state: CheckState
    message: str
    seconds: float | None = None
    """How long the call of an account took."""


async def check_installation(
    settings: Settings, environment: Mapping[str, str], models: Mapping[str, str]
) -> Sequence[Check]:
    """Check everything that a gateway needs; nothing is changed, and a gateway may be running meanwhile.

    ``models`` are the models to call for a token, by account; the models of other accounts are listed.
    """
    storage = {"files": _files(settings, environment), "database": _database(settings)}
    if settings.database_url is None:
        storage = {"data": asyncio.to_thread(_data_folder, settings), **storage}
    stored = await asyncio.gather(*(_checked(name, check) for name, check in storage.items()))
    return [*_keys(settings, environment), *stored, *await check_accounts(settings, environment, models)]


async def check_accounts(
    settings: Settings, environment: Mapping[str, str], models: Mapping[str, str]
) -> Sequence[Check]:
    """Make one small call to each account, all at the same time."""
    if not settings.accounts:
        return [Check(name="accounts", state="failed", message="none is configured; `batchgate init` writes one")]
    try:
        async with (
            NetworkTransport(TransportSettings(trust_env=settings.trust_env)) as transport,
            _secret_reader(settings, environment) as read_secret,
        ):

            def endpoint(name: str) -> AccountEndpoint:
                alone = structs.replace(settings, accounts={name: settings.accounts[name]})
                return endpoints(alone, transport, environment, read_secret)[0]

            calls = (_account(name, endpoint, models.get(name)) for name in settings.accounts)
            return await asyncio.gather(*calls)
    except BatchgateError as error:
        return [Check(name="secrets", state="failed", message=str(error))]


async def _account(name: str, endpoint: Callable[[str], AccountEndpoint], model: str | None) -> Check:
    try:
        built = endpoint(name)
        outcome = await check_account(built, model or _model_to_call(built))
    except RefusedError as error:
        message = f"not called: {error}, as --model {name}/MODEL"
        return Check(name=f"account/{name}", state="warning", message=message)
    except BatchgateError as error:
        return Check(name=f"account/{name}", state="failed", message=str(error))
    state: CheckState = "ok" if outcome.error is None else "failed"
    return Check(name=f"account/{name}", state=state, message=outcome_text(outcome), seconds=round(outcome.seconds, 3))


def _model_to_call(endpoint: AccountEndpoint) -> str | None:
    """Return a model of an account whose provider does not list its models; None if none is known."""
    if endpoint.models_path is not None:
        return None
    return "simulated" if endpoint.account.provider == SIMULATOR else min(endpoint.prices.listed_models, default=None)


def outcome_text(outcome: CheckOutcome) -> str:
    """Return how a small call to an account ended."""
    if (error := outcome.error) is not None:
        return f"{error.kind}{'' if error.status is None else f' ({error.status})'}: {error.message}"
    called = "listed its models" if outcome.method == "list_models" else f"called {outcome.model}"
    return f"{called} in {outcome.seconds:.2f} s"


@asynccontextmanager
async def _secret_reader(settings: Settings, environment: Mapping[str, str]) -> AsyncIterator[ReadSecret]:
    """Open the secrets of the database, if an account names one."""
    if any(account.api_key_secret is not None for account in settings.accounts.values()):
        async with opened_secrets(settings, environment) as secrets:
            yield secrets.value
        return

    async def none(name: str, setting: str) -> str:
        raise ConfigurationError(setting, f"the name of a stored secret, not {name!r}")

    yield none


def _keys(settings: Settings, environment: Mapping[str, str]) -> Sequence[Check]:
    """Check who may call the gateway, and that no variable is left without a meaning."""
    unknown = [
        Check(name="environment", state="warning", message=f"{variable} is not a setting and has no effect")
        for variable in unknown_variables(settings, environment)
    ]
    if number := len(settings.api_keys):
        message = f"{number} API key{'' if number == 1 else 's'} in the settings"
        return [*unknown, Check(name="keys", state="ok", message=message)]
    if is_loopback(settings.host):
        message = f"no API keys in the settings, and none are needed at {settings.host}: only this machine can call it"
        return [*unknown, Check(name="keys", state="ok", message=message)]
    message = f"none in the settings; at {settings.host} a start needs one: `batchgate keys create` may have made it"
    return [*unknown, Check(name="keys", state="warning", message=message)]


async def _checked(name: str, check: Awaitable[str]) -> Check:
    try:
        return Check(name=name, state="ok", message=await check)
    except BatchgateError as error:
        return Check(name=name, state="failed", message=str(error))


def _data_folder(settings: Settings) -> str:
    folder = Path(settings.data_dir)
    text = _writable(folder, "data_dir")
    return f"{text}, in use by a running gateway" if is_locked(folder) else text


def _writable(folder: Path, setting: str) -> str:
    """Check that files can be made in a folder, or that the folder can be made; raises `ConfigurationError`."""
    place = folder.resolve()
    nearest = next(path for path in (place, *place.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        raise ConfigurationError(setting, f"a writable folder; {nearest}: {os.strerror(error.errno or 0)}") from error
    return f"{place} is writable" if nearest == place else f"{place} is made at the first start"


async def _database(settings: Settings) -> str:
    if settings.database_url is not None:
        try:
            await wait_for_database(structs.replace(settings, database_wait_timeout=0), asyncio.Event())
        except ImportError as error:
            raise ConfigurationError("database_url", NEEDS_POSTGRES_EXTRA) from error
        return f"{settings.database_display} accepts connections"
    return await asyncio.to_thread(_sqlite_file, Path(settings.data_dir))


def _sqlite_file(folder: Path) -> str:
    file = folder.resolve() / DATABASE_FILE
    if not file.exists():
        return "a SQLite file, made at the first start"
    check_file(file)
    return f"SQLite, {file}"


async def _files(settings: Settings, environment: Mapping[str, str]) -> str:
    place = blob_location(settings.blob_url, Path(settings.data_dir))
    if "://" not in place:
        return await asyncio.to_thread(_writable, Path(place), "blob_url" if settings.blob_url else "data_dir")
    blobs = open_blobs(settings.blob_url, Path(settings.data_dir), settings.storage_options, environment)
    try:
        await asyncio.wait_for(blobs.check(), STORAGE_TIMEOUT)
    except TimeoutError as error:
        raise ConfigurationError("blob_url", f"{place} does not answer within {STORAGE_TIMEOUT:g} s") from error
    return f"{place} is writable"
