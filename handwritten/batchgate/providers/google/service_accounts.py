"""The key of a service account at Google Cloud, and the assertions that are signed with it.

An assertion is a JSON Web Token, signed by RS256 with the package cryptography of the extra ``secrets`` (RFC 7523). A
test holds it against google-auth.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.model.redacted_repr import redacted_repr

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
LIFETIME: Final = 3600
"""Seconds for which an assertion is valid; Google accepts no more."""
NEEDS_EXTRA: Final = "the extra that signs for service accounts: pip install 'batchgate[secrets]'"
EXPECTED: Final = "the JSON of a service account's key, as Google Cloud gives it, or an access token"


class ServiceAccount(Struct, frozen=True, tag_field="type", tag="service_account"):
    """The key of a service account; other fields of the file are ignored."""

    client_email: str
    private_key: str
    """A private RSA key in PEM."""
    private_key_id: str | None = None
    token_uri: str = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address

    def __repr__(self) -> str:
        """Return a repr without the private key."""
        return redacted_repr(self, "private_key", "private_key_id")


_ACCOUNT: Final = msgspec.json.Decoder(ServiceAccount)


def read_service_account(key: str, setting: str) -> ServiceAccount | None:
    """Return the service account in an account's key; None if the key is no JSON, and so an access token.

    Raises `ConfigurationError` for JSON that has none, which says which ``setting`` is wrong.
    """
    if not key.lstrip().startswith("{"):
        return None
    try:
        return _ACCOUNT.decode(key)
    except DECODING_ERRORS:
        # Without the cause, which would quote the key.
        raise ConfigurationError(setting, EXPECTED) from None


def signed_assertion(account: ServiceAccount, setting: str, now: float) -> str:
    """Return the assertion for which a service account gets an access token; ``now`` is in Unix seconds.

    Raises `ConfigurationError` for a private key that cannot be read, and without the package cryptography.
    """
    header = {"alg": "RS256", "typ": "JWT"}
    if account.private_key_id is not None:
        header["kid"] = account.private_key_id
    claims = {
        "iss": account.client_email,
        "scope": SCOPE,
        "aud": account.token_uri,
        "iat": int(now),
        "exp": int(now) + LIFETIME,
    }
    signed = f"{_encoded(msgspec.json.encode(header))}.{_encoded(msgspec.json.encode(claims))}"
    return f"{signed}.{_encoded(_signature(account, setting, signed.encode()))}"


def _signature(account: ServiceAccount, setting: str, text: bytes) -> bytes:
    try:
        # Only if they are used: they come with an extra.
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
        from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(setting, NEEDS_EXTRA) from error
    return _private_key(account, setting).sign(text, PKCS1v15(), SHA256())


def _private_key(account: ServiceAccount, setting: str) -> RSAPrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

    try:
        key = load_pem_private_key(account.private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(setting, f"{EXPECTED}; its private_key is no RSA key in PEM")
    return key


def _encoded(content: bytes) -> str:
    return urlsafe_b64encode(content).rstrip(b"=").decode()
