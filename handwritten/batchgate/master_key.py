"""Where the master keys come from: the environment or a file, never the settings file itself."""

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

_BETWEEN: Final = re.compile(r"[\s,]+")


def cipher(settings: Settings, environment: Mapping[str, str]) -> Cipher | None:
    """Make what encrypts secrets, or None where there is no master key; raises `ConfigurationError`.

    The package cryptography is imported only for it.
    """
    source, text = _given(settings, environment)
    if text is None:
        return None
    keys = [key for key in _BETWEEN.split(text) if key]
    if not keys:
        raise ConfigurationError(source, "a master key; it is empty")
    try:
        from batchgate.encryption.fernet import FernetCipher  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(source, NEEDS_EXTRA) from error
    return FernetCipher(keys, source)


def _given(settings: Settings, environment: Mapping[str, str]) -> tuple[str, str | None]:
    variable = environment.get(VARIABLE) or None
    if settings.master_key_file is None:
        return VARIABLE, variable
    if variable is not None:
        raise ConfigurationError(SETTING, f"only one of it and {VARIABLE}")
    try:
        return SETTING, Path(settings.master_key_file).read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it has bytes that are not ASCII"
        expected = f"a readable file with the master key in it: {settings.master_key_file}: {reason}"
        raise ConfigurationError(SETTING, expected) from error
