"""Google's token endpoint: an assertion that a service account has signed gets an access token.

A token proves by itself that it belongs to a key, so no state is kept. All tokens of a key are revoked by any change of
its JSON. No clock is compared, as those of tests move.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import urlsafe_b64decode
from collections.abc import Mapping
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import ConfigurationError
from batchgate.providers.google.service_accounts import LIFETIME, SCOPE, ServiceAccount, read_service_account

EXPIRES_IN: Final = 3599
PREFIX: Final = "ya29."
_GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_ANY_KEY: Final = "any key"
_GOOGLE: Final = "https://oauth2.googleapis.com/token"
"""The audience that google-auth names, whatever the token_uri of a key is."""


class _Claims(Struct, frozen=True):
    iss: str
    scope: str
    aud: str
    iat: int
    exp: int


class _InvalidGrantError(Exception):
    """The assertion is not accepted; the text says why."""


_CLAIMS: Final = msgspec.json.Decoder(_Claims)


def is_service_account(key: str) -> bool:
    """Return whether a required key is that of a service account."""
    return _account_of(key) is not None


def is_token_of(key: str, token: str) -> bool:
    """Return whether a token was given to the service account with this key."""
    nonce, dot, proof = token.removeprefix(PREFIX).partition(".")
    return bool(dot) and hmac.compare_digest(_proof(key, nonce), proof)


def grant(form: Mapping[str, str], key: str | None) -> tuple[int, bytes]:
    """Return the status and the body of the answer to a form; without a required ``key``, any signature is accepted."""
    try:
        _check(form, _account_of(key or ""))
    except _InvalidGrantError as problem:
        return 400, msgspec.json.encode({"error": "invalid_grant", "error_description": str(problem)})
    nonce = secrets.token_urlsafe(24)
    token = f"{PREFIX}{nonce}.{_proof(key or _ANY_KEY, nonce)}"
    return 200, msgspec.json.encode({"access_token": token, "expires_in": EXPIRES_IN, "token_type": "Bearer"})


def _account_of(key: str) -> ServiceAccount | None:
    try:
        return read_service_account(key, "require_key")
    except ConfigurationError:
        return None


def _check(form: Mapping[str, str], account: ServiceAccount | None) -> None:
    signed, _, signature = form.get("assertion", "").rpartition(".")
    try:
        claims = _CLAIMS.decode(_decoded(signed.partition(".")[2]))
    except (*DECODING_ERRORS, ValueError) as error:
        raise _InvalidGrantError("Invalid JWT.") from error
    if form.get("grant_type") != _GRANT or claims.scope != SCOPE:
        raise _InvalidGrantError("Invalid grant_type or scope.")
    if not 0 < claims.exp - claims.iat <= LIFETIME:
        raise _InvalidGrantError("Invalid JWT: Token must be a short-lived token.")
    if account is None:
        return
    if claims.iss != account.client_email or claims.aud not in {account.token_uri, _GOOGLE}:
        raise _InvalidGrantError("Invalid issuer or audience.")
    if not _is_signed(account, signed.encode(), signature):
        raise _InvalidGrantError("Invalid JWT Signature.")


def _is_signed(account: ServiceAccount, text: bytes, signature: str) -> bool:
    # Only here, since they come with an extra.
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

    key = load_pem_private_key(account.private_key.encode(), password=None)
    if not isinstance(key, RSAPrivateKey):
        return False
    try:
        key.public_key().verify(_decoded(signature), text, PKCS1v15(), SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _proof(key: str, nonce: str) -> str:
    return hmac.digest(key.encode(), nonce.encode(), "sha256").hex()
