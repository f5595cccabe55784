"""The bucket with the input and the results of jobs, for providers that read and write objects of the caller."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, cast

import obstore
from obstore.exceptions import BaseError, NotFoundError, PermissionDeniedError, UnauthenticatedError

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.model.provider_call import Account
from batchgate.providers.aws.credentials import read_credentials
from batchgate.providers.batches.secret_redaction import without_secrets
from batchgate.providers.responses.provider_errors import redact_and_shorten

if TYPE_CHECKING:  # obstore defines these names for type checkers only
    from obstore.store import ClientConfig, ObjectStore

_BLOCK: Final = 256 * 1024


class JobBucket:
    """The objects below an account's ``batch_url``.

    Errors of the bucket are raised as `UpstreamError` or `NoUpstreamAnswer`. Credentials are those of the account's
    key, or else those of the environment, as a bearer key of Bedrock opens no bucket.
    """

    def __init__(self, account: Account) -> None:
        self._account: Final = account
        self.url: Final = (account.batch_url or "").rstrip("/")
        with self._errors():
            self._store: Final = _open_store(account, self.url)

    async def write(self, name: str, rows: AsyncIterator[PlannedRow]) -> None:
        """Write rows as the lines of an object; nothing is left of it if ``rows`` raise an error."""
        with self._errors():
            file = obstore.open_writer_async(self._store, name)
            async with file:
                lines = bytearray()
                async for row in rows:
                    lines += row.line + b"\n"
                    if len(lines) >= _BLOCK:
                        await file.write(bytes(lines))
                        lines.clear()
                await file.write(bytes(lines))

    async def exists(self, name: str) -> bool:
        """Return whether there is an object."""
        with self._errors():
            try:
                await obstore.head_async(self._store, name)
            except FileNotFoundError:
                return False
        return True

    async def names_in(self, folder: str) -> Sequence[str]:
        """Return the names of all objects in a folder and below, in order.

        A stream of names would be one call, but its library panics if the stream is dropped while a page is under way.
        """
        folders, names = [folder], list[str]()
        with self._errors():
            while folders:
                found = await obstore.list_with_delimiter_async(self._store, f"{folders.pop()}/")
                names += [each["path"] for each in found["objects"]]
                folders += found["common_prefixes"]
        return sorted(names)

    async def read(self, name: str) -> AsyncGenerator[bytes, None]:
        """Yield the content of an object in blocks; a missing one raises an `UpstreamError` with status 404."""
        with self._errors():
            found = await obstore.get_async(self._store, name)
            async for block in found.stream(min_chunk_size=_BLOCK):
                yield bytes(block)

    async def delete(self, names: Iterable[str]) -> None:
        """Delete objects: each is tried, then the first error is raised; what is gone already is no error."""
        first: UpstreamError | None = None
        for name in names:
            try:
                with self._errors():
                    await obstore.delete_async(self._store, name)
            except UpstreamError as error:
                first = first or (None if error.status == 404 else error)
        if first is not None:
            raise first

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (NotFoundError, FileNotFoundError) as error:
            raise UpstreamError("not_found_error", self._text(error), status=404, retry_safe=False) from error
        except UnauthenticatedError as error:
            raise UpstreamError("authentication_error", self._text(error), status=401, retry_safe=False) from error
        except PermissionDeniedError as error:
            raise UpstreamError("permission_error", self._text(error), status=403, retry_safe=False) from error
        except (BaseError, OSError) as error:
            raise NoUpstreamAnswer("api_error", self._text(error), status=0, retry_safe=True) from error
        except (ValueError, TypeError) as error:
            raise UpstreamError("invalid_request_error", self._text(error), status=400, retry_safe=False) from error

    def _text(self, error: Exception) -> str:
        words = " ".join(str(error).split())
        return redact_and_shorten(without_secrets(self._account, f"The bucket {self.url} does not work: {words}"))


def _open_store(account: Account, url: str) -> ObjectStore:
    own = _google_config(account) if url.startswith("gs://") else _amazon_config(account)
    config: dict[str, object] = {**own, **account.batch_options}
    address = str(config.get("endpoint") or config.get("base_url") or "")
    client = {"timeout": f"{account.timeout:g}s"} | ({"allow_http": True} if address.startswith("http://") else {})
    return obstore.store.from_url(  # type: ignore[call-overload, no-any-return]
        url, config=config, client_options=cast("ClientConfig", client), retry_config={"max_retries": 0}
    )


def _google_config(account: Account) -> dict[str, object]:
    """Return the access token: what it opens does not depend on the environment."""
    return {"bearer_token": account.api_key or ""}


def _amazon_config(account: Account) -> dict[str, object]:
    config: dict[str, object] = {"region": account.region} if account.region else {}
    credentials = read_credentials(account.api_key or "")
    if credentials is not None:
        config["access_key_id"] = credentials.access_key_id
        config["secret_access_key"] = credentials.secret_access_key
        if credentials.session_token:
            config["session_token"] = credentials.session_token
    return config
