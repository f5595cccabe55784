"""Verifies the signatures of calls to the simulated Bedrock."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from yarl import URL

from batchgate.providers.aws.credentials import AwsCredentials
from batchgate.providers.aws.sigv4 import ALGORITHM, signature_headers

_AUTHORIZATION: Final = re.compile(
    rf"{ALGORITHM} Credential=(?P<id>[^/]+)/\d{{8}}/(?P<region>[^/]+)/(?P<service>[^/]+)/aws4_request, ?"
    r"SignedHeaders=(?P<names>[^,]+), ?Signature=[0-9a-f]{64}"
)
_NOT_GIVEN: Final = frozenset({"host", "x-amz-date", "x-amz-security-token"})
"""Signed headers that the signature itself adds."""


def is_signed(credentials: AwsCredentials, *, method: str, path: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether a call is signed with the credentials; ``path`` is as it was sent."""
    authorization = headers.get("authorization", "")
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None or found["id"] != credentials.access_key_id:
        return False
    try:
        time = datetime.strptime(headers.get("x-amz-date", ""), "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        return False
    expected = signature_headers(
        credentials,
        method=method,
        url=URL(f"http://{headers.get('host', '')}{path}", encoded=True),
        headers={name: headers.get(name, "") for name in found["names"].split(";") if name not in _NOT_GIVEN},
        body=body,
        region=found["region"],
        service=found["service"],
        now=time.timestamp(),
    )
    token = headers.get("x-amz-security-token")
    return token == credentials.session_token and hmac.compare_digest(
        _signature(expected["authorization"]), _signature(authorization)
    )


def _signature(authorization: str) -> str:
    return authorization.rpartition("=")[2]
