"""Shows the settings with their values; what may hold a secret is left out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from batchgate.api.http_limits import HttpLimits
from batchgate.engine.model.shown_url import shown_url
from batchgate.settings import Settings
from batchgate_api import gateway

SECRET: Final = frozenset({"api_key", "key", "database_url", "storage_options", "batch_options", "require_key"})
"""Fields that may hold a key or a password, in whichever table."""


def shown_settings(settings: Settings) -> list[gateway.Setting]:
    """Return all settings in the order of the documentation; entries of tables follow their table's name."""
    return sorted(_fields(settings, ""), key=lambda shown: shown.name in HttpLimits.__struct_fields__)


def _fields(struct: Struct, prefix: str) -> Iterator[gateway.Setting]:
    for field in msgspec.structs.fields(struct):
        value = getattr(struct, field.name)
        name = prefix + field.name
        if isinstance(value, dict) and value and all(isinstance(entry, Struct) for entry in value.values()):
            for key, entry in value.items():
                yield from _fields(entry, f"{name}.{key}.")
        elif isinstance(value, Struct):
            yield from _fields(value, f"{name}.")
        else:
            yield _setting(name, value, _default(field), is_secret=field.name in SECRET)


def _default(field: msgspec.structs.FieldInfo) -> Any:
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default


def _setting(name: str, value: Any, default: Any, *, is_secret: bool) -> gateway.Setting:
    is_shown = value is not None and not is_secret
    shown = msgspec.json.encode(_without_credentials(value)).decode() if is_shown else None
    return gateway.Setting(name=name, value=shown, is_set=value != default, is_secret=is_secret)


def _without_credentials(value: Any) -> Any:
    """Return a setting; a URL without what looks like a credential."""
    return shown_url(value) if isinstance(value, str) and "://" in value else value
