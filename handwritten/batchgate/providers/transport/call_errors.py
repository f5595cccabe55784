"""Errors of calls to providers that return no usable response, shared by all transports.

No message quotes an exception: its text may contain the URL or a header, and so a key.
"""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import urlsplit

from batchgate.engine.model.errors import NoUpstreamAnswer, UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamRequest

NAME_NOT_RESOLVED: Final = "the host name cannot be resolved"
NO_ALLOWED_ADDRESS: Final = "the host name has no public address"
TLS_FAILED: Final = "the TLS handshake failed"
CLOSED_EARLY: Final = "the server closed the connection before it responded"
ENDED_EARLY: Final = "the response ended early or cannot be decoded"
NOT_HTTP: Final = "the response is not valid HTTP"

UNKNOWN_ISSUER_CODES: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's error codes for a certificate of an unknown issuer."""


class CallFailedError(Exception):
    """A call was sent, at least in part, and got no complete response; the text is the reason for the operator."""


class ResponseTooLargeError(Exception):
    """A response is larger than the configured limit."""


def certificate_error(error: ssl.SSLCertVerificationError) -> str:
    """Return what is wrong with a certificate, in OpenSSL's words, and how to trust a private CA."""
    hint = "; set SSL_CERT_FILE to trust a private CA" if error.verify_code in UNKNOWN_ISSUER_CODES else ""
    return f"its certificate is not trusted ({error.verify_message}){hint}"


def invalid_url() -> NoUpstreamAnswer:
    """Return the error for an invalid configured URL."""
    return _no_answer("the URL of the provider is not valid", retry_safe=False)


def invalid_header(request: UpstreamRequest) -> NoUpstreamAnswer:
    """Return the error for a header with control characters or text that cannot be encoded."""
    message = f"the call to {_host(request)} has a header that is not valid in HTTP"
    return _no_answer(message, retry_safe=False)


def connect_timeout_error(request: UpstreamRequest) -> UpstreamUnreachable:
    """Return the error for a connect timeout; nothing was sent."""
    message = f"cannot connect to {_host(request)}: timed out"
    return UpstreamUnreachable("timeout_error", message, status=0, retry_safe=True)


def connect_error(request: UpstreamRequest, reason: str) -> UpstreamUnreachable:
    """Return the error for a failed connection attempt; nothing was sent."""
    message = f"cannot connect to {_host(request)}: {reason}"
    return UpstreamUnreachable("api_error", message, status=0, retry_safe=True)


def response_timeout(request: UpstreamRequest) -> NoUpstreamAnswer:
    """Return the error for the timeout of the whole call."""
    message = f"no complete response from {_host(request)} within {request.timeout:g} s"
    return NoUpstreamAnswer("timeout_error", message, status=0, retry_safe=True)


def call_failed(request: UpstreamRequest, reason: str) -> NoUpstreamAnswer:
    """Return the error for a call that failed after it was sent, at least in part."""
    return _no_answer(f"the call to {_host(request)} failed: {reason}", retry_safe=True)


def response_too_large(request: UpstreamRequest, limit: int) -> NoUpstreamAnswer:
    """Return the error for a response over the size limit; a retry would get the same response."""
    return _no_answer(f"the response of {_host(request)} has more than {limit} bytes", retry_safe=False)


def _no_answer(message: str, *, retry_safe: bool) -> NoUpstreamAnswer:
    return NoUpstreamAnswer("api_error", message, status=0, retry_safe=retry_safe)


def _host(request: UpstreamRequest) -> str:
    """Return the host and port of the call, without the credentials or the query of the URL."""
    return urlsplit(request.url).netloc.rpartition("@")[2]
