"""Finds the status of an error that a provider sends with a 2xx status."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import Raw

from batchgate.engine.model.decoding_errors import DECODING_ERRORS

DEFAULT_STATUS: Final = 500

MESSAGE_FIELDS: Final = ("message", "detail", "msg", "error_message", "error_description", "title", "Message")
"""Where the message is: most servers, FastAPI and problem+json, others; problem+json without a detail; AWS."""

_STATUS_FIELDS: Final = ("code", "status", "status_code", "statusCode")
_WORD_FIELDS: Final = ("code", "type", "status")

_FASTCHAT_STATUSES: Final[Mapping[int, int]] = {40303: 404, 40304: 400, 40305: 400}
"""FastChat's invalid model, parameter out of range and context overflow; it writes 403 before them."""

_STATUS_BY_WORD: Final[Mapping[str, int]] = {
    "badrequest": 400,
    "contentfilter": 400,
    "contentpolicyviolation": 400,
    "contextlengthexceeded": 400,
    "failedprecondition": 400,
    "invalidargument": 400,
    "invalidparameter": 400,
    "invalidprompt": 400,
    "invalidrequest": 400,
    "invalidvalue": 400,
    "outofrange": 400,
    "stringabovemaxlength": 400,
    "unknownparameter": 400,
    "unsupportedparameter": 400,
    "unsupportedvalue": 400,
    "validation": 400,
    "authentication": 401,
    "invalidapikey": 401,
    "unauthenticated": 401,
    "unauthorized": 401,
    "billing": 402,
    "forbidden": 403,
    "permission": 403,
    "permissiondenied": 403,
    "modelnotfound": 404,
    "notfound": 404,
    "conflict": 409,
    "requesttoolarge": 413,
    "unprocessableentity": 422,
    "insufficientquota": 429,
    "ratelimit": 429,
    "ratelimited": 429,
    "ratelimitexceeded": 429,
    "resourceexhausted": 429,
    "throttling": 429,
    "toomanyrequests": 429,
    "api": 500,
    "internal": 500,
    "internalserver": 500,
    "server": 500,
    "badgateway": 502,
    "provider": 502,
    "upstream": 502,
    "serviceunavailable": 503,
    "unavailable": 503,
    "deadlineexceeded": 504,
    "gatewaytimeout": 504,
    "timeout": 504,
    "overloaded": 529,
}
"""Statuses by the types and codes of Anthropic, OpenAI, Google, AWS and vLLM.

The words are in lower case without ``_`` and without "error" or "exception" at the end.
"""


def embedded_status(body: bytes) -> int | None:
    """Return the status of the error in a body, from its code and type; None if the body is not an error.

    An error is what `error_in` finds, or a body whose ``object`` or ``type`` is "error" and that has a message or code,
    or one that has a message and states the status of an error.
    """
    error = _find_error(body)
    if error is None:
        return None
    return next(_statuses(error), DEFAULT_STATUS)


def stated_status(error: bytes | Raw) -> int | None:
    """Return the status that the code or type of an error object states; None if they are not known."""
    try:
        document: object = msgspec.json.decode(error)
    except DECODING_ERRORS:
        return None
    return status_of_fields(document) if isinstance(document, dict) else None


def status_of_fields(error: Mapping[str, object]) -> int | None:
    """Return the status that the code or type of an error states; None if they are not known."""
    return next(_statuses(error), None)


def error_in(document: Mapping[str, object]) -> dict[str, object] | str | None:
    """Return the error in a body, without a second envelope: ``error``, the first of ``errors``, an object ``detail``.

    The last is ElevenLabs'. None without one.
    """
    errors, detail = document.get("errors"), document.get("detail")
    detail = detail if isinstance(detail, dict) and "message" in detail else None
    for found in (document.get("error"), errors if isinstance(errors, list) else None, detail):
        error = found[0] if isinstance(found, list) and found else found
        if isinstance(error, str) and error.strip():
            return error
        if isinstance(error, dict):
            inner = error.get("error")
            return inner if isinstance(inner, dict) else error
    return None


def _find_error(body: bytes) -> Mapping[str, object] | None:
    try:
        document: object = msgspec.json.decode(body)
    except DECODING_ERRORS:
        return None
    if isinstance(document, list) and document:
        document = document[0]
    if not isinstance(document, dict):
        return None
    error = error_in(document)
    if isinstance(error, str):
        return {"message": error}
    if error is not None:
        return error
    # vLLM before 0.10, and FastChat.
    named = "error" in (document.get("object"), document.get("type"))
    if named and ("message" in document or "code" in document):
        return document
    has_message = any(document.get(name) for name in MESSAGE_FIELDS)
    return document if has_message and status_of_fields(document) is not None else None


def _statuses(error: Mapping[str, object]) -> Iterator[int]:
    """Yield the statuses that the error states: numbers first, then the most specific word."""
    for name in _STATUS_FIELDS:
        if (status := _numeric_status(error.get(name))) is not None:
            yield status
    for name in _WORD_FIELDS:
        if isinstance(word := error.get(name), str):
            plain = "".join(filter(str.isalnum, word.lower())).removesuffix("exception").removesuffix("error")
            if plain in _STATUS_BY_WORD:
                yield _STATUS_BY_WORD[plain]


def _numeric_status(code: object) -> int | None:
    """Return the status from a number, digits as text, or the five digits of FastChat's codes, which begin with it."""
    if isinstance(code, str) and code.strip().isdecimal() and len(code) <= 8:
        code = int(code)
    if type(code) is float and code.is_integer():
        code = int(code)
    if type(code) is not int:
        return None
    status = _FASTCHAT_STATUSES.get(code, code // 100) if 40_000 <= code <= 59_999 else code
    return status if 400 <= status <= 599 else None
