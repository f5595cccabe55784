"""Every error that Batchgate raises on purpose.

The tree (each class says what it means, whether a retry is safe, and after how long)::

    BatchgateError
    ├── ConfigurationError        a setting is missing or wrong; the start stops
    ├── RefusedError              the caller's HTTP request cannot be served as it is
    │   └── QuotaExceeded         it does not fit into what its workspace may use
    ├── RequestError              one request of a batch has an error as its result
    │   ├── Untranslatable        it says something that the provider's dialect cannot say
    │   └── UpstreamError         the provider answered with an error
    │       └── UpstreamUnreachable   no usable answer came: connection, timeout, not the dialect
    │           └── UpstreamDown      there was no connection at all, so nothing was sent
    ├── StoreError                the database did not do what was asked
    │   └── StaleEpoch            another worker has claimed the shard since
    └── BlobError                 a body could not be read or written

Foreign exceptions are translated where they enter (transport, store, blobs), always ``from exc``.
"""

from __future__ import annotations

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
"""The error types of the Messages API, used inside as the one vocabulary of error classes."""

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
"""The documented status of each kind (batch-apis 1.7); an error may name a closer one."""


class BatchgateError(Exception):
    """The base of every error that Batchgate raises on purpose.

    ``retry_safe`` tells if the same call may be made again; ``retry_after`` is the wait in
    seconds that the other side asked for, if it asked.
    """

    retry_safe: bool = False
    retry_after: float | None = None


class ConfigurationError(BatchgateError):
    """A setting is missing or wrong: names the setting and says what it expects."""

    def __init__(self, setting: str, expected: str) -> None:
        super().__init__(f"{setting}: {expected}")
        self.setting = setting
        self.expected = expected


class RefusedError(BatchgateError):
    """The caller's HTTP request is refused: ``kind`` chooses the status, the message names the place.

    ``code`` is a stable word for the exact fault, and ``param`` the field or parameter that has it, if there is one.
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
    """What is asked for does not fit into what its workspace may use; ``told`` are the limit and the use.

    The SDKs are told not to retry: nothing is mended by waiting for a moment.
    """

    def __init__(self, workspace: str, quota: str, told: str) -> None:
        message = f"Workspace {workspace!r} is at its quota of {quota}: the limit is {told}."
        super().__init__("rate_limit_error", message, code="quota_exceeded", headers={"x-should-retry": "false"})


class RequestError(BatchgateError):
    """One request of a batch has an error as its result."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind: ErrorKind = kind
        self.message = message


class Untranslatable(RequestError):
    """A request (or an answer) says something that the other dialect has no words for.

    ``field`` is the path inside the row, such as ``messages.0.content.1.source``.
    """

    def __init__(self, field: str, reason: str) -> None:
        super().__init__("invalid_request_error", f"{field}: {reason}")
        self.field = field
        self.reason = reason


class UpstreamError(RequestError):
    """The provider answered with an error, already put in one of our classes.

    ``status`` is the HTTP status that the provider sent, 0 when there was none; ``request_id`` is the provider's, and
    what it ``said`` are the type, param and code beside the message, in its own words.
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
    ) -> None:
        super().__init__(kind, message)
        self.status = status
        self.retry_safe = retry_safe
        self.retry_after = retry_after
        self.request_id = request_id
        self.provider_type = provider_type
        self.provider_param = provider_param
        self.provider_code = provider_code


class UpstreamUnreachable(UpstreamError):
    """No usable answer came from the provider: no connection, a timeout, or not its dialect."""


class UpstreamDown(UpstreamUnreachable):
    """There was no connection to the provider at all, so nothing was sent: it is a matter of the whole account."""


class StoreError(BatchgateError):
    """The database did not do what was asked."""


class StaleClaim(StoreError):
    """The shard has been claimed again since: what this worker holds must not be written."""


class BlobError(BatchgateError):
    """A body could not be read or written."""


LOGGABLE_ERRORS: Final = (OSError, ConfigurationError, StoreError, BlobError)
"""Errors whose messages are of the machine and the gateway; those of others may quote a request, or a key."""


def loggable_text(error: BaseException) -> str:
    """Say an error as logs and /health may show it: with its message only if that quotes no request."""
    name = type(error).__qualname__
    return f"{name}: {error}" if isinstance(error, LOGGABLE_ERRORS) else name
