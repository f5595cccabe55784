"""Reads the master keys from the environment or a file, never from the settings file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.ports.cipher import Cipher
from batchgate.settings import Settings

VARIABLE: Final = "BATCHGATE_MASTER_KEY"
SETTING: Final = "master_key_file"
NEEDS_EXTRA: Final = "the extra that encrypts secrets: pip install 'batchgate[secrets]'"

_SEPARATOR: Final = re.compile(r"[\s,]+")


def cipher(settings: Settings, environment: Mapping[str, str]) -> Cipher | None:
    """Return the cipher for secrets, or None without a master key; raises `ConfigurationError`.

    The package cryptography is imported only if there is a key.
    """
    source, text = _master_key(settings, environment)
    if text is None:
        return None
    keys = [key for key in _SEPARATOR.split(text) if key]
    if not keys:
        raise ConfigurationError(source, "a master key; it is empty")
    try:
        from batchgate.encryption.fernet import FernetCipher  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(source, NEEDS_EXTRA) from error
    return FernetCipher(keys, source)


def _master_key(settings: Settings, environment: Mapping[str, str]) -> tuple[str, str | None]:
    variable = environment.get(VARIABLE) or None
    if settings.master_key_file is None:
        return VARIABLE, variable
    if variable is not None:
        raise ConfigurationError(SETTING, f"either this setting or {VARIABLE}, not both")
    try:
        return SETTING, Path(settings.master_key_file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not ASCII"
        expected = f"a readable file with the master key in it: {settings.master_key_file}: {reason}"
        raise ConfigurationError(SETTING, expected) from error
