"""Converts a provider's error response (status, headers, body) to an `UpstreamError`.

One reader works for all providers, as proxies and compatible servers mix the formats: the envelopes of Anthropic and
OpenAI, a text or a list, fields without an envelope, or no JSON.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Raw, Struct, UnsetType

from batchgate.engine.model.api_key import PREFIX as OWN_KEY_PREFIX
from batchgate.engine.model.decoding_errors import DECODING_ERRORS, DecodingError, describe_decoding_error
from batchgate.engine.model.errors import ErrorKind, NoUpstreamAnswer, UpstreamError
from batchgate.engine.model.provider_call import RowKind, UpstreamResponse
from batchgate.providers.responses.embedded_errors import (
    DEFAULT_STATUS,
    embedded_status,
    stated_status,
    status_of_fields,
)
from batchgate.providers.responses.permanent_refusals import is_permanent_refusal
from batchgate.providers.responses.retry_waits import requested_wait

MAX_MESSAGE_LENGTH: Final = 2_000
"""Maximum number of characters that are kept of a provider's message."""

_MAX_EXCERPT: Final = 200

_MESSAGE_FIELDS: Final = ("message", "detail", "msg", "error_message", "error_description", "title", "Message")
"""Where the message is: most servers, FastAPI and problem+json, others; problem+json without a detail; AWS."""

_KINDS: Final[Mapping[int, ErrorKind]] = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    409: "conflict_error",
    413: "request_too_large",
    420: "rate_limit_error",
    422: "invalid_request_error",
    423: "conflict_error",
    425: "conflict_error",
    429: "rate_limit_error",
    449: "conflict_error",
    460: "timeout_error",
    499: "timeout_error",
    500: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    522: "timeout_error",
    524: "timeout_error",
    529: "overloaded_error",
}

_KINDS_BY_CODE: Final[Mapping[str, ErrorKind]] = {
    "billing_error": "billing_error",
    "permission_error": "permission_error",
    "overloaded_error": "overloaded_error",
    "rate_limit_error": "rate_limit_error",
    "timeout_error": "timeout_error",
    "insufficient_quota": "billing_error",
    "billing_hard_limit_reached": "billing_error",
    "billing_not_active": "billing_error",
    "enforced_spend_limit_reached": "billing_error",
    "contract_spend_limit_reached": "billing_error",
    "linked_organization_spend_limit_reached": "billing_error",
    "linked_organization_billing_unavailable": "billing_error",
    "organization_on_hold": "billing_error",
}
"""Types and codes that are more specific than the status. OpenAI's invalid_request_error is not: 401 has it too."""

_RETRY_STATUSES: Final = frozenset({408, 409, 420, 421, 423, 424, 425, 429, 449, 460, 499})
"""Statuses below 500 that pass by themselves: a timeout, a lock, a load, a connection to the wrong server."""
_FINAL_STATUSES: Final = frozenset({501, 505, 506, 510})
"""Statuses from 500 on that the same request would get again."""
_OVERRIDDEN_STATUSES: Final = frozenset({400, 403, 404, 500, 502})
"""Statuses that some servers and proxies send for an error that passes; the code or type states which one it is."""
_STATED_STATUSES: Final = frozenset({408, 409, 423, 425, 429, 503, 504, 529})
_RETRY_KINDS: Final = frozenset({"overloaded_error", "rate_limit_error", "timeout_error"})

_NO_ERROR: Final = frozenset({b"null", b"false", b"0", b"[]", b"{}", b'""'})
"""The contents of an ``error`` field, without white space, that mean there is no error."""

_KEY: Final = re.compile(
    r"\b(?:sk|gsk|psk|csk|xai|pplx|fw|hf|nvapi)[-_][A-Za-z0-9_*.\-]{6,}"
    rf"|\b{OWN_KEY_PREFIX}[\w*.\-]{{20,}}|\bAIza[\w\-]{{20,}}|\bBearer\s+\S+",
    re.IGNORECASE,
)
"""Formats of providers' keys and our own; some providers repeat an invalid key in the message, partly masked."""


class _ErrorBody(Struct, frozen=True):
    """The fields of an error body, from any envelope."""

    message: str
    codes: tuple[str, ...]
    """Its types and codes."""
    request_id: str | None
    error: object = None
    """The error as it came."""
    type: str | None = None
    param: str | None = None
    code: str | int | None = None


def upstream_error(response: UpstreamResponse, now: Callable[[], float] = time.time) -> UpstreamError:
    """Make the error for an error response; ``now`` returns Unix seconds."""
    body = _read_body(response)
    kind = _kind(response.status, body)
    permanent = kind == "rate_limit_error" and is_permanent_refusal(body.message, body.codes)
    if permanent:
        kind = "request_too_large"
    return UpstreamError(
        kind,
        body.message,
        status=response.status,
        retry_safe=not permanent and _retry_safe(response, kind),
        retry_after=requested_wait(response.headers, body.error, body.message, now()),
        request_id=response.headers.get("request-id") or response.headers.get("x-request-id") or body.request_id,
        provider_type=body.type,
        provider_param=body.param,
        provider_code=body.code,
    )


ANSWER_NAMES: Final[Mapping[RowKind, str]] = {
    "messages": "a Message",
    "chat_completions": "a Chat Completion",
    "responses": "a Response",
    "embeddings": "embeddings",
    "completions": "a completion",
}
"""The names of answers to each kind of request in messages."""


def unexpected_body_error(response: UpstreamResponse, kind: RowKind, problem: DecodingError) -> UpstreamError:
    """Make the error for a response with a 2xx status that is not an answer of ``kind``; some are errors."""
    status = embedded_status(response.body)
    if status is not None:
        return upstream_error(UpstreamResponse(status=status, headers=response.headers, body=response.body))
    if response.status != 200:
        return upstream_error(response)
    reason = describe_decoding_error(problem)
    message = f"The provider returned 200, but the body is not {ANSWER_NAMES[kind]} ({reason}): "
    return NoUpstreamAnswer("api_error", message + excerpt(response.body), status=200, retry_safe=True)


def is_error(error: Raw | UnsetType) -> bool:
    """Return whether the ``error`` field of an answer has content: servers also send null, an empty text or object."""
    return isinstance(error, Raw) and bytes(error).translate(None, b" \t\r\n") not in _NO_ERROR


def embedded_error(response: UpstreamResponse, error: Raw) -> UpstreamError:
    """Make the error for an error object in an answer with a 2xx status; its code decides whether it is retried."""
    status = stated_status(error) or DEFAULT_STATUS
    return upstream_error(
        UpstreamResponse(status=status, headers=response.headers, body=b'{"error":%s}' % bytes(error))
    )


def redact_and_shorten(text: str, length: int = MAX_MESSAGE_LENGTH) -> str:
    """Shorten a text from a provider and redact keys in it."""
    clean = _KEY.sub("[key]", text.strip())
    return clean if len(clean) <= length else f"{clean[: length - 1]}…"


def excerpt(body: bytes) -> str:
    """Return the beginning of an unexpected body, in one line."""
    shown = " ".join(body[: 4 * _MAX_EXCERPT].decode(errors="replace").split())
    return redact_and_shorten(shown, _MAX_EXCERPT) or "an empty body"


# ---------------------------------------------------------------- error kind and retry


def _kind(status: int, body: _ErrorBody) -> ErrorKind:
    for code in body.codes:
        if code in _KINDS_BY_CODE:
            return _KINDS_BY_CODE[code]
    if status in _OVERRIDDEN_STATUSES and isinstance(body.error, dict):
        stated = status_of_fields(body.error)
        status = stated if stated in _STATED_STATUSES else status
    if status in _KINDS:
        return _KINDS[status]
    return "invalid_request_error" if 400 <= status < 500 or status in _FINAL_STATUSES else "api_error"


def _retry_safe(response: UpstreamResponse, kind: ErrorKind) -> bool:
    match response.headers.get("x-should-retry"):
        case "true":
            return True
        case "false":
            return False
        case _:
            status = response.status
            passes = status in _RETRY_STATUSES or (status >= 500 and status not in _FINAL_STATUSES)
            return (passes or kind in _RETRY_KINDS) and kind != "billing_error"


# ---------------------------------------------------------------- error body


def _read_body(response: UpstreamResponse) -> _ErrorBody:
    try:
        document: object = msgspec.json.decode(response.body)
    except DECODING_ERRORS:
        return _ErrorBody(_status_message(response, excerpt(response.body)), (), None)
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return _ErrorBody(_status_message(response, excerpt(response.body)), (), None)
    error = _error_of(document)
    message = _with_metadata(_message(error) or _status_message(response, excerpt(response.body)), error)
    request_id = document.get("request_id")
    return _ErrorBody(
        message=redact_and_shorten(message),
        codes=tuple(_codes(error)),
        request_id=request_id if isinstance(request_id, str) else None,
        error=error,
        type=_text_field(error, "type"),
        param=_text_field(error, "param"),
        code=_code(error),
    )


def _error_of(document: dict[str, object]) -> object:
    """Return the error in a body: the field ``error``, the first of ``errors``, or the body itself."""
    errors = document.get("errors")
    return document.get("error") or (errors[0] if isinstance(errors, list) and errors else None) or document


def _status_message(response: UpstreamResponse, shown: str) -> str:
    if location := response.headers.get("location"):
        shown = f"it redirects to {redact_and_shorten(location, _MAX_EXCERPT)}; check base_url"
    return f"The provider returned {response.status}: {shown}"


def _message(error: object) -> str | None:
    """Return the message: the error itself if it is a string, or the first of its message fields, which may be JSON."""
    if isinstance(error, str):
        return error
    if not isinstance(error, dict):
        return None
    found = next((error[name] for name in _MESSAGE_FIELDS if error.get(name)), None)
    if found is None or isinstance(found, str):
        return found
    return msgspec.json.encode(found).decode()


def _with_metadata(message: str, error: object) -> str:
    """Append the error of the provider behind a router, and its name: OpenRouter sends both in ``metadata``."""
    metadata = error.get("metadata") if isinstance(error, dict) else None
    if not isinstance(metadata, dict):
        return message
    provider, reason = metadata.get("provider_name"), _raw_reason(metadata.get("raw"))
    if isinstance(provider, str) and provider and provider not in message:
        message = f"{message} ({provider[:_MAX_EXCERPT]})"
    return f"{message}: {reason}" if reason and reason not in message else message


def _raw_reason(raw: object) -> str | None:
    """Return the message in a provider's error body, which is a text or JSON in a text; any other text as it is."""
    document = raw
    if isinstance(raw, str):
        try:
            document = msgspec.json.decode(raw)
        except DECODING_ERRORS:
            return raw.strip()
    if isinstance(document, list) and document:
        document = document[0]
    found = _message((document.get("error") or document) if isinstance(document, dict) else document)
    if found is None and raw is not None:
        return raw.strip() if isinstance(raw, str) else msgspec.json.encode(raw).decode()
    return found


def _codes(error: object) -> Iterator[str]:
    if not isinstance(error, dict):
        return
    details = error.get("details")
    if isinstance(details, dict) and isinstance(details.get("error_code"), str):
        yield details["error_code"]
    for name in ("code", "type"):
        if isinstance(code := error.get(name), str):
            yield code


def _text_field(error: object, name: str) -> str | None:
    """Return a short text field of the error."""
    word = error.get(name) if isinstance(error, dict) else None
    return redact_and_shorten(word, _MAX_EXCERPT) if isinstance(word, str) else None


def _code(error: object) -> str | int | None:
    """Return the code; some servers send the status as a number."""
    code = error.get("code") if isinstance(error, dict) else None
    return code if type(code) is int and 0 <= code <= 999 else _text_field(error, "code")
