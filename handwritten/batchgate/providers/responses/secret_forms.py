r"""The forms in which an answer may repeat a secret: as it is, escaped, percent-encoded, in hex or in base64."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

MIN_SECRET_LENGTH: Final = 8
"""Minimum length of a secret that is found anywhere; a shorter one could be part of a word."""
_BASE64_STARTS: Final = (0, 2, 3)
"""The characters of base64 that depend on what stands 0, 1 or 2 bytes before a text, by this number of bytes."""


def secret_pattern(secret: str) -> re.Pattern[str] | None:
    r"""Return a pattern that finds a secret in any form, in JSON too, where a slash may be ``\/`` or ``\u002F``.

    A short secret is found only as it is, and as a separate word. A short one of letters only is not looked for: it is
    a placeholder for servers that need no key, such as ``EMPTY``, or a name.
    """
    if len(secret) >= MIN_SECRET_LENGTH:
        return re.compile("|".join((_escaped(secret), _hex(secret), *map(_escaped_base64, _base64_cores(secret)))))
    return None if secret.isalpha() or not secret else re.compile(rf"(?<!\w){_escaped(secret)}(?!\w)")


def literal_forms(secret: str) -> tuple[bytes, ...]:
    """Return the most likely forms of a long secret as bytes, to look for in every answer; none for a short one."""
    if len(secret) < MIN_SECRET_LENGTH:
        return ()
    return tuple(form.encode() for form in (secret, secret.encode().hex(), *_base64_cores(secret)))


def key_secrets(key: str) -> tuple[str, ...]:
    """Return the secrets in an account's key: the key itself, or the texts in it if it is a JSON object."""
    if not key.lstrip().startswith("{"):
        return (key,)
    try:
        fields = msgspec.json.decode(key, type=dict[str, object])
    except msgspec.DecodeError:
        return (key,)
    return tuple(value for value in fields.values() if isinstance(value, str))


def url_secrets(url: str) -> tuple[str, ...]:
    """Return the user and the password of a URL, and the token of the header Basic that is made of them."""
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if not user and not password:
        return ()
    basic = base64.b64encode(f"{user}:{password}".encode()).decode()
    return tuple(secret for secret in (basic, password, user) if secret)


def _escaped(secret: str) -> str:
    return "".join(map(_any_form, secret))


def _any_form(character: str) -> str:
    """Match a character as it is, escaped as in JSON, or percent-encoded once or several times."""
    percent = "".join(f"%(?:25)*{byte:02X}" for byte in character.encode(errors="surrogateescape"))
    return rf"(?:\\*{re.escape(character)}|\\+u(?i:{ord(character):04x})|(?i:{percent}))"


def _hex(secret: str) -> str:
    return f"(?i:{secret.encode(errors='surrogateescape').hex()})"


def _base64_cores(secret: str) -> Iterator[str]:
    """Return the characters of base64 that are the same whatever stands before and after the secret."""
    encoded = secret.encode(errors="surrogateescape")
    for before, start in enumerate(_BASE64_STARTS):
        whole = base64.b64encode(bytes(before) + encoded).decode()
        yield whole[start : (before + len(encoded)) * 8 // 6]


def _escaped_base64(core: str) -> str:
    """Match base64 in its usual and its URL-safe alphabet, with the characters beside it that the secret shares."""
    variants = {"+": "[+-]", "/": r"\\*[/_]"}
    middle = "".join(variants.get(character, character) for character in core)
    return f"[A-Za-z0-9+/_-]{{0,2}}{middle}[A-Za-z0-9+/_-]{{0,2}}={{0,2}}"


def patterns(secrets: Iterable[str]) -> tuple[re.Pattern[str], ...]:
    """Return the patterns of secrets, without those that are not looked for."""
    return tuple(pattern for secret in secrets if (pattern := secret_pattern(secret)) is not None)
