"""OpenAI and every server that is compatible with it: rows of Messages are translated to Chat Completions and back."""

from __future__ import annotations

from typing import Final

import msgspec

from batchgate.engine.errors import RequestError, Untranslatable, UpstreamError, UpstreamUnreachable
from batchgate.engine.upstream import Account, RequestRow, UpstreamRequest, UpstreamResponse
from batchgate.engine.validation import DECODING_ERRORS, DecodingError, describe_decoding
from batchgate.providers.dialects.messages_as_chat.answer import to_message
from batchgate.providers.dialects.messages_as_chat.request import to_chat
from batchgate.providers.dialects.target import Target
from batchgate.providers.upstream_errors import excerpt, upstream_error
from batchgate_api import chat_completions, messages

_PARAMS: Final = msgspec.json.Decoder(messages.MessageParams)
_COMPLETION: Final = msgspec.json.Decoder(chat_completions.ChatCompletion)
_ENCODER: Final = msgspec.json.Encoder()


class ChatCompletionsHandler:
    """Speaks Chat Completions to an account whose ``base_url`` ends in what stands before ``/chat/completions``.

    ``anthropic-beta`` has no effect here: a field that a beta brings is translated or refused like any other.
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def encode(self, account: Account, row: RequestRow) -> UpstreamRequest:
        """Write the call, translated; raises `RequestError` naming the field that is wrong or cannot be said."""
        if "anthropic-user-profile-id" in row.headers:
            raise Untranslatable("anthropic-user-profile-id", "only Anthropic has user profiles; leave the header out")
        try:
            params = _PARAMS.decode(row.params)
            request = to_chat(params, model=row.model, target=self._target)
        except DECODING_ERRORS as error:
            raise RequestError("invalid_request_error", str(describe_decoding(error))) from error
        headers = {"content-type": "application/json"}
        if account.api_key:
            headers["authorization"] = f"Bearer {account.api_key}"
        return UpstreamRequest(
            url=f"{account.base_url}/chat/completions",
            headers=headers,
            body=_ENCODER.encode(request),
            timeout=account.timeout,
        )

    def decode(self, row: RequestRow, response: UpstreamResponse) -> bytes:
        """Read the answer as a Message."""
        if response.status != 200:
            raise upstream_error(response)
        try:
            completion = _COMPLETION.decode(response.body)
        except DECODING_ERRORS as error:
            raise _not_a_completion(response, error) from error
        return _ENCODER.encode(to_message(completion, model=row.model, custom_id=row.custom_id))


class _EmbeddedError(msgspec.Struct):
    error: _EmbeddedBody


class _EmbeddedBody(msgspec.Struct):
    code: int | str | None = None


_EMBEDDED: Final = msgspec.json.Decoder(_EmbeddedError)


def _not_a_completion(response: UpstreamResponse, error: DecodingError) -> UpstreamError:
    """Tell an error that a router sends with the status 200 from an answer that is no Chat Completion."""
    try:
        code = _EMBEDDED.decode(response.body).error.code
    except DECODING_ERRORS:
        message = f"The provider answered 200, but not with a Chat Completion ({describe_decoding(error)}): "
        return UpstreamUnreachable("api_error", message + excerpt(response.body), status=200, retry_safe=True)
    status = code if isinstance(code, int) and 400 <= code <= 599 else 500
    return upstream_error(UpstreamResponse(status=status, headers=response.headers, body=response.body))
