"""Removes an account's credentials from the answers of its provider."""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct, structs

from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.provider_call import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.ports.provider import ProviderHandler
from batchgate.providers.responses.secret_forms import key_secrets, literal_forms, patterns, url_secrets

MAX_REMEMBERED_KEYS: Final = 4
"""Number of remembered keys: a call in flight may still have a key that was replaced."""
REDACTED: Final = "[key]"


class _SecretForms(Struct, frozen=True):
    patterns: tuple[re.Pattern[str], ...]
    literals: tuple[bytes, ...]


class KeyRedactingHandler:
    """Wraps a `ProviderHandler` so that its errors contain no credentials of its calls.

    Successful answers stay unchanged, unless ``in_answers``: then one that repeats a key, as it is, in hex or in
    base64, is redacted too. That is for servers other than the provider's own, such as a proxy that echoes headers.
    """

    def __init__(self, handler: ProviderHandler, *, base_url: str = "", in_answers: bool = False) -> None:
        self._handler = handler
        self._url = _forms(*url_secrets(base_url))
        self._in_answers = in_answers
        self._keys: dict[str, _SecretForms] = {}
        self._literals = self._url.literals
        """The literals of all forms, which are looked for in every answer."""

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Return the call of the wrapped handler, and remember its key."""
        self.remember(account.api_key)
        return self._handler.encode(account, row)

    def remember(self, key: str | None) -> None:
        """Remember a key of the account: answers of its jobs are read by a process that may have made no call."""
        if key and key not in self._keys:
            self._keys[key] = _forms(*key_secrets(key))
            if len(self._keys) > MAX_REMEMBERED_KEYS:
                del self._keys[next(iter(self._keys))]
            self._literals = tuple(literal for forms in self._forms for literal in forms.literals)

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Return the answer of the wrapped handler; decode an error again from a response without the credentials.

        The response is redacted, not the message: a message may have been shortened in the middle of a key.
        """
        if self._in_answers and self._literals and self._repeats_a_secret(response):
            response = self._redact_response(response)
        try:
            return self._handler.decode(row, response)
        except RequestError as error:
            redacted = self._redact_response(response)
            if redacted == response:
                raise
            original = error
        raise self._redacted_error(row, redacted, original)

    def _redacted_error(self, row: RequestRow, redacted: UpstreamResponse, error: RequestError) -> RequestError:
        try:
            self._handler.decode(row, redacted)
        except RequestError as redacted_error:
            return redacted_error
        return RequestError(error.kind, "The provider's error contains the account's key, so it is not shown.")

    def _repeats_a_secret(self, response: UpstreamResponse) -> bool:
        headers = "\n".join(response.headers.values()).encode(errors="surrogateescape")
        texts = (response.body, headers) if headers else (response.body,)
        return any(literal in text for text in texts for literal in self._literals)

    def _redact_response(self, response: UpstreamResponse) -> UpstreamResponse:
        headers = {name: self._redact(value) for name, value in response.headers.items()}
        body = self._redact(response.body.decode(errors="surrogateescape")).encode(errors="surrogateescape")
        return structs.replace(response, headers=headers, body=body)

    def _redact(self, text: str) -> str:
        for forms in self._forms:
            for pattern in forms.patterns:
                text = pattern.sub(REDACTED, text)
        return text

    @property
    def _forms(self) -> tuple[_SecretForms, ...]:
        return (self._url, *self._keys.values())


def _forms(*secrets: str) -> _SecretForms:
    return _SecretForms(patterns(secrets), tuple(form for secret in secrets for form in literal_forms(secret)))
