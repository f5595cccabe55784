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
    MESSAGE_FIELDS,
    embedded_status,
    error_in,
    stated_status,
    status_of_fields,
)
from batchgate.providers.responses.permanent_refusals import is_permanent_refusal, is_used_up
from batchgate.providers.responses.retry_waits import requested_wait

MAX_MESSAGE_LENGTH: Final = 2_000
"""Maximum number of characters that are kept of a provider's message."""

_MAX_EXCERPT: Final = 200

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
    "quota_exceeded": "billing_error",
    "billing_hard_limit_reached": "billing_error",
    "billing_not_active": "billing_error",
    "enforced_spend_limit_reached": "billing_error",
    "contract_spend_limit_reached": "billing_error",
    "linked_organization_spend_limit_reached": "billing_error",
    "linked_organization_billing_unavailable": "billing_error",
    "organization_on_hold": "billing_error",
    "API_KEY_INVALID": "authentication_error",
    "ThrottlingException": "rate_limit_error",
    "ServiceQuotaExceededException": "rate_limit_error",
    "ExpiredTokenException": "authentication_error",
    "IncompleteSignatureException": "authentication_error",
    "InvalidSignatureException": "authentication_error",
    "MissingAuthenticationTokenException": "authentication_error",
    "UnrecognizedClientException": "authentication_error",
}
"""Types and codes that are more specific than the status, such as Gemini's reason for a wrong key, which is a 400.

Those with ``Exception`` are Amazon's. OpenAI's invalid_request_error is not more specific: 401 has it too.
"""

_RETRY_STATUSES: Final = frozenset({408, 409, 420, 421, 423, 424, 425, 429, 449, 460, 499})
"""Statuses below 500 that pass by themselves: a timeout, a lock, a load, a connection to the wrong server."""
_FINAL_STATUSES: Final = frozenset({501, 505, 506, 510})
"""Statuses from 500 on that the same request would get again."""
_OVERRIDDEN_STATUSES: Final = frozenset({400, 403, 404, 500, 502})
"""Statuses that some servers and proxies send for an error that passes; the code or type states which one it is."""
_STATED_STATUSES: Final = frozenset({408, 409, 423, 425, 429, 503, 504, 529})
_RETRY_KINDS: Final = frozenset({"overloaded_error", "rate_limit_error", "timeout_error"})

_REQUEST_IDS: Final = ("request-id", "x-request-id", "x-amzn-requestid")

_NO_ERROR: Final = frozenset({b"null", b"false", b"0", b"[]", b"{}", b'""'})
"""The contents of an ``error`` field, without white space, that mean there is no error."""

_KEY: Final = re.compile(
    r"\b(?:sk|gsk|psk|csk|xai|pplx|fw|hf|nvapi)[-_][A-Za-z0-9_*.\-]{6,}"
    rf"|\b{OWN_KEY_PREFIX}[\w*.\-]{{20,}}|\bAIza[\w\-]{{20,}}|\b(?:AKIA|ASIA)[A-Z0-9]{{12,}}|\b(?:ABSK|bedrock-api-key-)[\w+/=\-]{{20,}}|\bBearer\s+\S+",
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
    rows: tuple[int, ...] = ()


def upstream_error(response: UpstreamResponse, now: Callable[[], float] = time.time) -> UpstreamError:
    """Make the error for an error response; ``now`` returns Unix seconds."""
    body = _read_body(response)
    kind = _kind(response.status, body)
    if kind == "rate_limit_error" and is_used_up(body.message):
        kind = "billing_error"
    permanent = kind == "rate_limit_error" and is_permanent_refusal(body.message, body.codes)
    if permanent:
        kind = "request_too_large"
    return UpstreamError(
        kind,
        body.message,
        status=response.status,
        retry_safe=not permanent and _retry_safe(response, kind, body),
        retry_after=requested_wait(response.headers, body.error, body.message, now()),
        request_id=next(filter(None, map(response.headers.get, _REQUEST_IDS)), body.request_id),
        provider_type=body.type,
        provider_param=body.param,
        provider_code=body.code,
        refused_rows=body.rows,
    )


ANSWER_NAMES: Final[Mapping[RowKind, str]] = {
    "messages": "a Message",
    "chat_completions": "a Chat Completion",
    "responses": "a Response",
    "embeddings": "embeddings",
    "completions": "a completion",
    "converse": "a Converse answer",
    "invoke_model": "an answer of InvokeModel",
    "cohere_chat": "an answer of Cohere's chat",
    "cohere_embed": "embeddings of Cohere",
    "generate_content": "an answer of generateContent",
    "embed_content": "an answer of embedContent",
    "speech": "speech",
    "replicate": "a prediction of Replicate",
    "elevenlabs": "an answer of ElevenLabs",
    "runway": "a task of Runway",
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


def _retry_safe(response: UpstreamResponse, kind: ErrorKind, body: _ErrorBody) -> bool:
    match response.headers.get("x-should-retry"):
        case "true":
            return True
        case "false":
            return False
        case _:
            status = response.status
            if (cause := _model_status(body)) is not None:
                return cause >= 500
            passes = status in _RETRY_STATUSES or (status >= 500 and status not in _FINAL_STATUSES)
            return (passes or kind in _RETRY_KINDS) and kind != "billing_error"


def _model_status(body: _ErrorBody) -> int | None:
    """Return the status of the model behind Bedrock, which answers 424 for all of them."""
    status = body.error.get("originalStatusCode") if isinstance(body.error, dict) else None
    return status if isinstance(status, int) else None


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
    error = error_in(document) or document
    message = _with_metadata(_message(error) or _status_message(response, excerpt(response.body)), error)
    message = _with_issues(message, document.get("issues"))
    request_id = document.get("request_id")
    exception = _exception(response, document)
    return _ErrorBody(
        message=redact_and_shorten(message),
        codes=(*_codes(error), *([exception] if exception else ())),
        request_id=request_id if isinstance(request_id, str) else None,
        error=error,
        type=_text_field(error, "type") or exception,
        param=_text_field(error, "param"),
        code=_code(error),
        rows=tuple(_refused_rows(document)),
    )


def _refused_rows(document: Mapping[str, object]) -> Iterator[int]:
    """Yield the numbers that begin the places of errors: Mistral names the rows that it refuses so."""
    errors = document.get("errors")
    for error in errors if isinstance(errors, list) else ():
        place = error.get("loc") if isinstance(error, dict) else None
        if isinstance(place, list) and place and type(place[0]) is int and place[0] >= 0:
            yield place[0]


def _exception(response: UpstreamResponse, document: dict[str, object]) -> str | None:
    """Return the name of Amazon's exception: it is before a colon in a header, or after a ``#`` in the body."""
    named = response.headers.get("x-amzn-errortype") or document.get("__type")
    return named.partition(":")[0].rpartition("#")[2][:_MAX_EXCERPT] if isinstance(named, str) else None


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
    found = next((error[name] for name in MESSAGE_FIELDS if error.get(name)), None)
    if isinstance(found, str):
        return _with_place(found, error)
    return None if found is None else msgspec.json.encode(found).decode()


def _with_place(message: str, error: Mapping[str, object]) -> str:
    """Prepend the place that Pydantic names, such as ``0.body.temperature``: Mistral says so which row it refuses."""
    place = error.get("loc")
    return f"{'.'.join(map(str, place))}: {message}" if isinstance(place, list) and place else message


def _with_metadata(message: str, error: object) -> str:
    """Append the error of the provider behind a router, and its name: OpenRouter sends both in ``metadata``."""
    metadata = error.get("metadata") if isinstance(error, dict) else None
    if not isinstance(metadata, dict):
        return message
    provider, reason = metadata.get("provider_name"), _raw_reason(metadata.get("raw"))
    if isinstance(provider, str) and provider and provider not in message:
        message = f"{message} ({provider[:_MAX_EXCERPT]})"
    return f"{message}: {reason}" if reason and reason not in message else message


def _with_issues(message: str, issues: object) -> str:
    """Append what Runway says about single fields."""
    if not isinstance(issues, list) or not issues:
        return message
    return f"{message}: {msgspec.json.encode(issues).decode()}"


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
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict) and isinstance(detail.get("reason"), str):
            yield detail["reason"]
    for name in ("code", "type", "status"):
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
