"""Every error that Batchgate raises on purpose.

The class hierarchy::

    BatchgateError
    ├── ConfigurationError        a setting is missing or wrong; the program does not start
    ├── RefusedError              the gateway refuses the caller's HTTP request
    │   └── QuotaExceeded         it would exceed a quota of its workspace
    ├── RequestError              one request of a batch ends with an error
    │   ├── Untranslatable        the provider's dialect cannot express it
    │   └── UpstreamError         the provider returned an error
    │       └── NoUpstreamAnswer  no usable response: no connection, timeout, wrong dialect
    │           └── UpstreamUnreachable   no connection at all, so nothing was sent
    ├── StoreError                the database could not read or write
    │   └── StaleClaim            another worker has claimed the shard since
    ├── BudgetReached             an account has spent what it may in a month
    ├── BlobError                 the blob storage could not read or write
    │   └── DamagedBlob           the blob is missing, or is not what was written
    └── ClockError                the time is in doubt, so nothing is expired or removed by it

The transport, the store and the blob storage convert foreign exceptions into these, always with ``from exc``.
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

ErrorKind: TypeAlias = Literal[
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
]
"""The error types of the Messages API; Batchgate uses them for errors of all APIs."""

STATUSES: Final[Mapping[ErrorKind, int]] = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The documented HTTP status of each kind (batch-apis 1.7); an error may have a more specific one."""


class BatchgateError(Exception):
    """The base of every error that Batchgate raises on purpose.

    ``retry_safe`` is True if the same call may be made again. ``retry_after`` is the wait in seconds that the other
    side requested, if any.
    """

    retry_safe: bool = False
    retry_after: float | None = None


class ConfigurationError(BatchgateError):
    """A setting is missing or wrong; the message names the setting and what it expects."""

    def __init__(self, setting: str, expected: str) -> None:
        super().__init__(f"{setting}: {expected}")
        self.setting = setting
        self.expected = expected


class RefusedError(BatchgateError):
    """The gateway refuses the caller's HTTP request.

    ``kind`` determines the HTTP status unless ``status`` is given. ``code`` identifies the fault for programs, and
    ``param`` is the wrong field or parameter, if there is one.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int | None = None,
        code: str | None = None,
        param: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message
        self.status = status
        self.code = code
        self.param = param
        self.headers = headers or {}


class QuotaExceeded(RefusedError):
    """The request would exceed a quota of its workspace; ``detail`` states the limit and the usage.

    ``retry_after`` is the seconds until the quota has room again. Where they are unknown, the header x-should-retry
    prevents SDKs from retrying, since a short wait would not help.
    """

    def __init__(self, workspace: str, quota: str, detail: str, *, retry_after: int | None = None) -> None:
        message = f"Workspace {workspace!r} is at its quota of {quota}: the limit is {detail}."
        headers = {"x-should-retry": "false"} if retry_after is None else {"Retry-After": str(retry_after)}
        super().__init__("rate_limit_error", message, code="quota_exceeded", headers=headers)


class BudgetReached(BatchgateError):
    """An account has spent what it may in a month; its batches are paused."""


class RequestError(BatchgateError):
    """One request of a batch ends with an error as its result."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message


class Untranslatable(RequestError):
    """A request or an answer contains something that the other dialect cannot express.

    ``field`` is its path, such as ``messages.0.content.1.source``.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__("invalid_request_error", f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UpstreamError(RequestError):
    """The provider returned an error; ``kind`` is its classification by Batchgate.

    ``status`` is the HTTP status, 0 without a response. ``request_id`` and the fields that begin with ``provider_`` are
    copied from the provider's response. ``refused_rows`` are the indexes of the rows of an uploaded file, from 0, for
    which all of it was refused; they may be wrong.
    """

    def __init__(
        self,
        kind: ErrorKind,
        message: str,
        *,
        status: int,
        retry_safe: bool,
        retry_after: float | None = None,
        request_id: str | None = None,
        provider_type: str | None = None,
        provider_param: str | None = None,
        provider_code: str | int | None = None,
        refused_rows: tuple[int, ...] = (),
    ) -> None:
        super().__init__(kind, message)
        self.refused_rows = refused_rows
        self.status = status
        self.retry_safe = retry_safe
        self.retry_after = retry_after
        self.request_id = request_id
        self.provider_type = provider_type
        self.provider_param = provider_param
        self.provider_code = provider_code


class NoUpstreamAnswer(UpstreamError):
    """The provider sent no usable response: no connection, a timeout, or not its dialect."""


class UpstreamUnreachable(NoUpstreamAnswer):
    """No connection to the provider could be made, so nothing was sent; this concerns the whole account."""


class StoreError(BatchgateError):
    """The database could not read or write."""


class LostBlob(StoreError):
    """A blob was removed as an orphan before its owner was stored; another attempt to store it fails as well."""


class StaleClaim(StoreError):
    """The shard has been claimed again since, so this worker must not write its results."""


class BlobError(BatchgateError):
    """The blob storage could not read or write a blob."""


class DamagedBlob(BlobError):
    """A stored blob is missing or unreadable, or its bytes are not those that were written."""


class ClockError(BatchgateError):
    """The time is in doubt: the clock has jumped, or differs from the database's."""


LOGGABLE_ERRORS: Final = (OSError, ConfigurationError, StoreError, BlobError, BudgetReached, ClockError)
"""Errors whose messages never quote a request or a key; the message of any other exception may."""


_DAMAGE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.EIO})
"""Errors of the operating system that concern the stored file, not the process or the storage as a whole."""


def blob_read_error(text: str, number: int | None) -> BlobError:
    """Return the error for a blob that could not be read; ``number`` is the operating system's error number."""
    return DamagedBlob(text) if number in _DAMAGE else BlobError(text)


def loggable_text(error: BaseException) -> str:
    """Describe an error for logs and /health: its class, and its message only if that cannot quote a request."""
    name = type(error).__qualname__
    return f"{name}: {error}" if isinstance(error, LOGGABLE_ERRORS) else name
