"""The shape of the requests of one unified create: all have the same fields and the same endpoint."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from batchgate.api.anthropic.create_body import checked_params, params_line
from batchgate.api.binding import value_or_none
from batchgate.api.body_errors import BodyFault, refuse
from batchgate.api.request_errors import allowed_values, fault_code
from batchgate.engine.model.batch_endpoint import KINDS
from batchgate.engine.model.decoding_errors import FIELD_REQUIRED
from batchgate.engine.model.own_urls import WITH_VALUES, own_endpoint_of
from batchgate_api.gateway import CreateUnifiedBatch, UnifiedBatchEndpoint, UnifiedBatchRequest

Field: TypeAlias = Literal["params", "body"]

DEFAULT_ENDPOINT: Final[UnifiedBatchEndpoint] = "/v1/chat/completions"
MESSAGES: Final[UnifiedBatchEndpoint] = "/v1/messages"
CUSTOM_ID_OF_MESSAGES: Final = "^[a-zA-Z0-9_-]{1,64}$"
URL_MISMATCH: Final = "url_mismatch"
INVALID_VALUE: Final = "invalid_value"

_CUSTOM_ID: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_BOTH: Final = BodyFault("", "it has params and a body; a request has one of them")
_NEITHER: Final = BodyFault("", f"{FIELD_REQUIRED}: params for Messages, or a body", fault_code(FIELD_REQUIRED))
_NO_ID: Final = BodyFault("custom_id", "it is empty; each request needs a name of its own")
_WRONG_ID: Final = BodyFault("custom_id", f"String should match pattern {CUSTOM_ID_OF_MESSAGES}")


class _UnknownUrlError(ValueError):
    """A url that is none of the endpoints; the text says what it should be."""


class _Peek(Struct):
    """Whether a request asks for streaming."""

    stream: object = None


_ENDPOINTS: Final[Mapping[str, UnifiedBatchEndpoint]] = {MESSAGES: MESSAGES, **{path: path for path in KINDS}}
_ACCEPTED: Final = ", ".join(allowed_values(CreateUnifiedBatch, "endpoint"))
_MAX_QUOTED: Final = 200

_PEEK: Final = msgspec.json.Decoder(_Peek)


class RequestShape:
    """The shape of all requests, set by the endpoint of the create or by the first request.

    With ``messages_as_chat``, a create for /v1/chat/completions may have ``params``, which are for Messages: the OpenAI
    SDKs cannot name the endpoint of Messages, and their surface shows batches of Messages under this one.
    """

    def __init__(self, *, messages_as_chat: bool = False) -> None:
        self._messages_as_chat = messages_as_chat
        self.endpoint: UnifiedBatchEndpoint | None = None
        """The endpoint; None until it is known."""
        self._declared = False
        self._named = False
        self._field: Field | None = None
        self._url: str | None = None
        """The provider's own url of the request that `content` has read last; None if it has none."""

    def declare(self, endpoint: UnifiedBatchEndpoint | None) -> None:
        """Set the endpoint of the create; raises `RefusedError` if it contradicts earlier requests."""
        if endpoint is None or endpoint == self.endpoint or (self._field == "params" and self._may_be_chat(endpoint)):
            return
        if self.endpoint is None:
            self.endpoint, self._declared = endpoint, True
        elif self._named:
            message = f"endpoint: it is {endpoint}, and the requests go to {self.endpoint}"
            raise refuse(message, param="endpoint", code=URL_MISMATCH)
        else:
            message = "endpoint: it comes behind many requests that name no url; put it before them"
            raise refuse(message, param="endpoint", code=URL_MISMATCH)

    def content(self, request: UnifiedBatchRequest) -> bytes | BodyFault:
        """Return the params or the body of a request, or what is wrong with it."""
        if not request.custom_id:
            return _NO_ID
        params, body = value_or_none(request.params), value_or_none(request.body)
        if params is not None and body is not None:
            return _BOTH
        content = params if params is not None else body
        if content is None:
            return _NEITHER
        field: Field = "body" if params is None else "params"
        return self._inconsistency(request, field) or _checked(request, field, bytes(content), self.endpoint)

    def _may_be_chat(self, endpoint: UnifiedBatchEndpoint | None) -> bool:
        return self._messages_as_chat and endpoint == DEFAULT_ENDPOINT

    def line(self, custom_id: str, content: bytes) -> bytes:
        """Return the input line of a request, in the dialect of the endpoint."""
        if self.endpoint == MESSAGES:
            return params_line(custom_id, content)
        return b'{"custom_id":%b,"method":"POST","url":%b,"body":%b}\n' % (
            msgspec.json.encode(custom_id),
            msgspec.json.encode(self._url or self.endpoint),
            content,
        )

    def _endpoint_in(self, url: str | None) -> UnifiedBatchEndpoint | None:
        """Return the endpoint of a url, and keep a url that is a provider's own; raises `_UnknownUrlError`."""
        self._url = None
        if url is None:
            return None
        own = own_endpoint_of(url)
        if own is not None:
            self._url = url
            return own
        found = _ENDPOINTS.get(url)
        if found is None:
            raise _UnknownUrlError(f"Input should be one of {_ACCEPTED}, not {url[:_MAX_QUOTED]!r}")
        return found

    def _inconsistency(self, request: UnifiedBatchRequest, field: Field) -> BodyFault | None:
        """Return how a request differs from the others, if it does; the first request sets what is not set."""
        try:
            url = self._endpoint_in(value_or_none(request.url))
        except _UnknownUrlError as error:
            return BodyFault("url", str(error), INVALID_VALUE)
        if field == "params" and url not in (None, MESSAGES):
            return BodyFault("url", f"it is {url}, and params are for {MESSAGES}; give a body", URL_MISMATCH)
        if self._field not in (None, field):
            return BodyFault(field, f"others have {self._field}; all requests have the same shape")
        if field == "params" and self._field is None and self._may_be_chat(self.endpoint):
            self.endpoint = None
        endpoint: UnifiedBatchEndpoint = MESSAGES if field == "params" else self.endpoint or DEFAULT_ENDPOINT
        if url is not None:
            endpoint = url
        if self.endpoint not in (None, endpoint):
            others = "endpoint says" if self._declared else "others go to"
            place = "params" if url is None else "url"
            return BodyFault(place, f"it goes to {endpoint}, and {others} {self.endpoint}", URL_MISMATCH)
        if endpoint in WITH_VALUES and self._url is None:
            message = f"it must be {endpoint}, with plain names in place of what is in braces"
            return BodyFault("url", message, INVALID_VALUE)
        self.endpoint, self._field = endpoint, field
        self._named = self._named or url is not None or field == "params"
        return None


def _checked(
    request: UnifiedBatchRequest, field: Field, content: bytes, endpoint: UnifiedBatchEndpoint | None
) -> bytes | BodyFault:
    if not content.startswith(b"{"):
        return BodyFault(field, "it must be an object, a request of its endpoint")
    if endpoint == MESSAGES and not _CUSTOM_ID.fullmatch(request.custom_id):
        return _WRONG_ID
    if b'"stream"' in content and _PEEK.decode(content).stream is True:
        return BodyFault(f"{field}.stream", "a batch has no streams; leave it out")
    return checked_params(content, field) if endpoint == MESSAGES else content
