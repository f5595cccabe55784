"""Keys of service accounts at Google Cloud, each with an RSA key of its own."""

from __future__ import annotations

from functools import cache

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

EMAIL = "batches@my-project.iam.gserviceaccount.com"


@cache
def _made_key(_name: str) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def private_key(name: str = "one") -> str:
    """Return a private key in PEM, the same for each call with a name."""
    return _made_key(name).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def public_key(name: str = "one") -> str:
    """Return the public part of a private key in PEM."""
    return _made_key(name).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def service_account(token_uri: str, name: str = "one", **fields: object) -> str:
    """Return the JSON of a service account's key, as Google Cloud gives it."""
    given = {
        "type": "service_account",
        "project_id": "my-project",
        "private_key_id": f"id-of-{name}",
        "private_key": private_key(name),
        "client_email": EMAIL,
        "client_id": "123456789012345678901",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": token_uri,
        "universe_domain": "googleapis.com",
    }
    return msgspec.json.encode(given | fields).decode()
