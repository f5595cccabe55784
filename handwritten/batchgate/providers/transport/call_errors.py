"""What the engine is told when a call to a provider brings no usable answer: the words of every transport.

None of them quotes an exception, whose text may hold the URL or a header, and so a key.
"""

from __future__ import annotations

import ssl
from typing import Final
from urllib.parse import urlsplit

from batchgate.engine.model.errors import UpstreamDown, UpstreamUnreachable
from batchgate.engine.model.provider_call import UpstreamRequest

NAME_NOT_RESOLVED: Final = "its name does not resolve"
TLS_FAILED: Final = "TLS failed"
CLOSED_EARLY: Final = "it closed the connection before it answered"
ENDED_EARLY: Final = "the answer ended early or cannot be decoded"
NOT_HTTP: Final = "the answer is not HTTP"

UNKNOWN_ISSUER_CODES: Final = frozenset({18, 19, 20, 21})
"""OpenSSL's codes for a certificate that nobody known has signed."""


class CallFailedError(Exception):
    """A call that was sent, at least in part, and has no whole answer; its text says why to an operator."""


class ResponseTooLargeError(Exception):
    """An answer of more bytes than are read."""


def certificate_error(error: ssl.SSLCertVerificationError) -> str:
    """Say what is wrong with a certificate, in OpenSSL's words, and how to trust an authority of one's own."""
    hint = "; SSL_CERT_FILE may name the authority to trust" if error.verify_code in UNKNOWN_ISSUER_CODES else ""
    return f"its certificate is not trusted ({error.verify_message}){hint}"


def invalid_url() -> UpstreamUnreachable:
    """Say that the configured URL leads nowhere."""
    return _unreachable("the URL of the provider is not valid", retry_safe=False)


def invalid_header(request: UpstreamRequest) -> UpstreamUnreachable:
    """Say that a header holds what would end it, or bytes that are none."""
    message = f"the call to {_host(request)} has a header that HTTP cannot carry"
    return _unreachable(message, retry_safe=False)


def connect_timeout_error(request: UpstreamRequest) -> UpstreamDown:
    """Say that connecting took too long, so that nothing was sent."""
    message = f"no connection to {_host(request)} in time"
    return UpstreamDown("timeout_error", message, status=0, retry_safe=True)


def connect_error(request: UpstreamRequest, reason: str) -> UpstreamDown:
    """Say why there is no connection, so that nothing was sent."""
    message = f"cannot connect to {_host(request)}: {reason}"
    return UpstreamDown("api_error", message, status=0, retry_safe=True)


def response_timeout(request: UpstreamRequest) -> UpstreamUnreachable:
    """Say that the time of the whole call is over."""
    message = f"no whole answer from {_host(request)} within {request.timeout:g} s"
    return UpstreamUnreachable("timeout_error", message, status=0, retry_safe=True)


def call_failed(request: UpstreamRequest, reason: str) -> UpstreamUnreachable:
    """Say how a call broke after it was sent, at least in part."""
    return _unreachable(f"the call to {_host(request)} broke: {reason}", retry_safe=True)


def response_too_large(request: UpstreamRequest, limit: int) -> UpstreamUnreachable:
    """Say that the answer has more bytes than are read; asked again it would have as many."""
    return _unreachable(f"the answer of {_host(request)} has more than {limit} bytes", retry_safe=False)


def _unreachable(message: str, *, retry_safe: bool) -> UpstreamUnreachable:
    return UpstreamUnreachable("api_error", message, status=0, retry_safe=retry_safe)


def _host(request: UpstreamRequest) -> str:
    """Name the host and port of the call, without the credentials or the query that a URL may hold."""
    return urlsplit(request.url).netloc.rpartition("@")[2]
