"""The key of an account at Amazon Web Services: a bearer key, or credentials that sign requests."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.redacted_repr import redacted_repr

EXPECTED: Final = (
    'a Bedrock API key, or the JSON {"AccessKeyId": ..., "SecretAccessKey": ..., "SessionToken": ...} that '
    "`aws configure export-credentials` prints"
)


class AwsCredentials(Struct, frozen=True, rename="pascal"):
    """Credentials in the format that AWS defines for credential processes; other fields are ignored."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None
    """Only temporary credentials have one."""

    def __repr__(self) -> str:
        """Return a repr without the secrets."""
        return redacted_repr(self, "secret_access_key", "session_token")


_CREDENTIALS: Final = msgspec.json.Decoder(AwsCredentials)


def read_credentials(key: str) -> AwsCredentials | None:
    """Return the credentials in an account's key; None if it is a bearer key.

    Raises `RequestError` for JSON that has no credentials.
    """
    if not key.lstrip().startswith("{"):
        return None
    try:
        return _CREDENTIALS.decode(key)
    except DECODING_ERRORS:
        # Without the cause, which would quote the key.
        raise RequestError("authentication_error", f"The key of the account should be {EXPECTED}.") from None
