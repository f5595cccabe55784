"""Signature Version 4 of Amazon Web Services, for every service but S3, which has rules of its own for paths.

A test holds it against botocore. AWS refuses a signature that is more than some minutes old, so a request is signed
when it is sent, and again for each retry.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from yarl import URL

from batchgate.providers.aws.credentials import AwsCredentials

ALGORITHM: Final = "AWS4-HMAC-SHA256"
_NEVER_SIGNED: Final = frozenset({"authorization", "user-agent"})
"""Headers that proxies may change, and the signature itself."""


def signature_headers(
    credentials: AwsCredentials,
    *,
    method: str,
    url: URL,
    headers: Mapping[str, str],
    body: bytes,
    region: str,
    service: str,
    now: float,
) -> dict[str, str]:
    """Return the headers to add to a request, so that AWS accepts it; ``now`` is in Unix seconds.

    ``headers`` are signed too, as is the host. The path is signed as the URL has it, and so it has to be sent.
    """
    time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    added = {"x-amz-date": time}
    if credentials.session_token:
        added["x-amz-security-token"] = credentials.session_token
    signed = {"host": url.host_port_subcomponent or "", **headers, **added}
    signed = {name.lower(): " ".join(value.split()) for name, value in signed.items()}
    signed = {name: signed[name] for name in sorted(signed) if name not in _NEVER_SIGNED}
    names = ";".join(signed)
    scope = f"{time[:8]}/{region}/{service}/aws4_request"
    canonical = _canonical_request(method, url, signed, body)
    text = "\n".join((ALGORITHM, time, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    signature = hmac.digest(_signing_key(credentials, scope), text.encode(), "sha256").hex()
    credential = f"{credentials.access_key_id}/{scope}"
    added["authorization"] = f"{ALGORITHM} Credential={credential}, SignedHeaders={names}, Signature={signature}"
    return added


def _canonical_request(method: str, url: URL, signed: Mapping[str, str], body: bytes) -> str:
    """Return the text that is signed: the path is percent-encoded once more than it is sent."""
    return "\n".join(
        (
            method,
            quote(url.raw_path or "/", safe="/-_.~"),
            "&".join(sorted(_parameter(part) for part in url.raw_query_string.split("&") if part)),
            *(f"{name}:{value}" for name, value in signed.items()),
            "",
            ";".join(signed),
            hashlib.sha256(body).hexdigest(),
        )
    )


def _parameter(part: str) -> str:
    name, _, value = part.partition("=")
    return f"{name}={value}"


def _signing_key(credentials: AwsCredentials, scope: str) -> bytes:
    key = f"AWS4{credentials.secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
