"""Translates aiohttp's exceptions into `NoUpstreamAnswer`, for every client that is based on aiohttp."""

from __future__ import annotations

import os
import ssl
from typing import Final

import aiohttp

from batchgate.engine.model.errors import NoUpstreamAnswer
from batchgate.engine.model.provider_call import UpstreamRequest
from batchgate.providers.transport import call_errors
from batchgate.providers.transport.public_addresses import NoAllowedAddressError

_REASONS: Final[dict[type[Exception], str]] = {
    aiohttp.ClientConnectorDNSError: call_errors.NAME_NOT_RESOLVED,
    aiohttp.ClientSSLError: call_errors.TLS_FAILED,
    aiohttp.ServerDisconnectedError: call_errors.CLOSED_EARLY,
    aiohttp.ClientPayloadError: call_errors.ENDED_EARLY,
    aiohttp.ClientResponseError: call_errors.NOT_HTTP,
}
"""The reason to report for each exception type; the first match counts, so subclasses come first."""


def to_upstream_error(error: Exception, request: UpstreamRequest) -> NoUpstreamAnswer:
    """Return the error for an exception of aiohttp, an `OSError` or a `ValueError` of a call."""
    match error:
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            return call_errors.invalid_url()
        case aiohttp.ConnectionTimeoutError():
            return call_errors.connect_timeout_error(request)
        case TimeoutError():
            return call_errors.response_timeout(request)
        case aiohttp.ClientConnectorError():
            return call_errors.connect_error(request, _reason(error))
        case ValueError():
            return call_errors.invalid_header(request)
        case _:
            return call_errors.call_failed(request, _reason(error))


def _reason(error: Exception) -> str:
    match error:
        case aiohttp.ClientConnectorCertificateError(certificate_error=ssl.SSLCertVerificationError() as refused):
            return call_errors.certificate_error(refused)
        case aiohttp.ClientConnectorDNSError(os_error=NoAllowedAddressError()):
            return call_errors.NO_ALLOWED_ADDRESS
    for kind, reason in _REASONS.items():
        if isinstance(error, kind):
            return reason
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno)
    return type(error).__name__
