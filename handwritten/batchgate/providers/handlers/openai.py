"""OpenAI and every server that is compatible with it: rows that it takes pass as they are, others are translated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec

from batchgate.engine.model.decoding_errors import DECODING_ERRORS
from batchgate.engine.model.errors import Untranslatable
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind, UpstreamRequest, UpstreamResponse
from batchgate.providers.dialects.completion import first_choice
from batchgate.providers.dialects.server_capabilities import ServerCapabilities
from batchgate.providers.dialects.translation import CONVERSATIONS, NAMES, Asked, translate_answer, translate_request
from batchgate.providers.handlers.pass_through import answer_as_it_came, request_as_it_came
from batchgate.providers.responses.provider_errors import not_an_answer, upstream_error
from batchgate_api import chat_completions, openai_rows, responses

PATHS: Final[dict[RowKind, str]] = {
    "chat_completions": "/chat/completions",
    "responses": "/responses",
    "embeddings": "/embeddings",
    "completions": "/completions",
}
"""Where the rows of each kind go, below the ``base_url`` of an account."""

_COMPLETION: Final = msgspec.json.Decoder(chat_completions.ChatCompletion)


def _read_completion(body: bytes) -> None:
    """Read a Chat Completion; raises `UpstreamUnreachable` for one without a choice, or that the server broke off."""
    first_choice(_COMPLETION.decode(body))


_READERS: Final[dict[RowKind, Callable[[bytes], object]]] = {
    "chat_completions": _read_completion,
    "responses": msgspec.json.Decoder(responses.Response).decode,
    "embeddings": msgspec.json.Decoder(openai_rows.Embeddings).decode,
    "completions": msgspec.json.Decoder(openai_rows.Completions).decode,
}
"""How it is seen that an answer which passes as it is is one."""


class OpenAIHandler:
    """Speaks OpenAI's dialect to an account whose ``base_url`` ends in what stands before ``/chat/completions``.

    ``target`` tells what the server takes; ``now`` gives Unix seconds. ``anthropic-beta`` has no effect here: a field
    that a beta brings is translated or refused like any other.
    """

    def __init__(self, target: ServerCapabilities, now: Callable[[], float] = time.time) -> None:
        self._target = target
        self._now = now

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call; raises `RequestError` naming the field that is wrong or cannot be said."""
        if "anthropic-user-profile-id" in row.headers:
            raise Untranslatable("anthropic-user-profile-id", "only Anthropic has user profiles; leave the header out")
        kind = self._spoken(row.kind)
        headers = {"content-type": "application/json"}
        if account.api_key:
            headers["authorization"] = f"Bearer {account.api_key}"
        return UpstreamRequest(
            url=account.base_url + PATHS[kind], headers=headers, body=self._body(row, kind), timeout=account.timeout
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Read the answer as one of the row's kind."""
        if response.status != 200:
            raise upstream_error(response)
        kind = self._spoken(row.kind)
        try:
            if kind == row.kind:
                return answer_as_it_came(response.body, _READERS[kind])
            return translate_answer(response.body, kind=kind, to=row.kind, asked=self._asked(row))
        except DECODING_ERRORS as error:
            raise not_an_answer(response, kind, error) from error

    def _spoken(self, kind: RowKind) -> RowKind:
        """Choose the kind in which the server is asked."""
        if kind in self._target.serves:
            return kind
        if kind in CONVERSATIONS:
            return "chat_completions"
        raise Untranslatable("url", f"{self._target.name} is not known to serve {NAMES[kind]}; choose another provider")

    def _body(self, row: RequestRow, kind: RowKind) -> bytes:
        if kind == row.kind:
            return request_as_it_came(row)
        return translate_request(row.params, kind=row.kind, to=kind, model=row.model, target=self._target)

    def _asked(self, row: RequestRow) -> Asked:
        request = row.params if row.kind == "responses" else None
        return Asked(model=row.model, custom_id=row.custom_id, created=int(self._now()), request=request)
