"""The names that callers may give for a provider, and the account that each means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from batchgate.api.request_errors import fault_code
from batchgate.engine.model.decoding_errors import FIELD_REQUIRED
from batchgate.engine.model.errors import RefusedError

PROVIDER: Final = "provider"
"""The parameter or field that names the provider."""
HEADER: Final = "x-model-provider"
"""The header, or query parameter, that means the same."""


class ProviderNames(Struct, frozen=True, kw_only=True):
    """Accounts by name, and which of them a name means."""

    accounts: Mapping[str, str]
    """The provider of each account, in the order of the settings."""
    default: str | None
    """The account for calls that name none: the setting, or the only account."""
    documented: tuple[str, ...]
    """The documented names of providers, also of those that no account has."""
    is_model_part: Callable[[str, str], bool]
    """Tells for an account whether a prefix that is no account's name belongs to the name of one of its models."""

    def find(self, provider: str | None, header: str | None) -> str | None:
        """Return the name in one of two places; raises `RefusedError` if they differ, or if there is no such name."""
        for name, parameter in ((provider, PROVIDER), (header, HEADER)):
            if name is not None and not self.is_known(name):
                raise self.unknown(name, parameter)
        return one_provider(provider, header)

    def find_or_default(self, provider: str | None, header: str | None, places: str) -> str:
        """Return the name in one of two places, or the default account; the error names the ``places`` for it."""
        name = self.find(provider, header) or self.default
        if name is None:
            raise self.missing(places)
        return name

    def is_known(self, name: str) -> bool:
        """Return whether a name is that of an account or of a provider."""
        return name in self.accounts or name in self.documented or name in self.accounts.values()

    def account(self, name: str, parameter: str) -> str:
        """Return the account of a name, or the first one of the provider of this name; raises `RefusedError`."""
        account = self.account_or_none(name)
        if account is None:
            raise self.unknown(name, parameter)
        return account

    def account_or_none(self, name: str) -> str | None:
        """Return the account of a name, or the first one of the provider of this name; None if there is none."""
        if name in self.accounts:
            return name
        return next((account for account, provider in self.accounts.items() if provider == name), None)

    def unknown(self, name: str, parameter: str) -> RefusedError:
        """Return the refusal of a name that is that of no account and no provider."""
        message = f"{parameter}: {name!r} is not configured; configured: {self._configured()}"
        return RefusedError("invalid_request_error", message, param=parameter)

    def missing(self, places: str) -> RefusedError:
        """Return the refusal of a call that names no provider where several are configured."""
        message = f"{PROVIDER}: {FIELD_REQUIRED}, {places}; configured: {self._configured()}"
        return RefusedError("invalid_request_error", message, param=PROVIDER, code=fault_code(FIELD_REQUIRED))

    def _configured(self) -> str:
        return ", ".join(dict.fromkeys((*self.accounts, *sorted(self.accounts.values())))) or "none"


def one_provider(one: str | None, other: str | None) -> str | None:
    """Return the provider that one of two places names; raises `RefusedError` if they differ."""
    if one is not None and other is not None and one != other:
        message = f"{PROVIDER}: one place says {one} and another {other}; name it once"
        raise RefusedError("invalid_request_error", message, param=PROVIDER)
    return one or other
