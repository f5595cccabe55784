"""Reads the declared parameters of an operation from path, query and headers."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web
from multidict import istr

from batchgate.api.request_errors import UNKNOWN_PARAMETER, refuse_input
from batchgate.engine.model.errors import RefusedError
from batchgate_api.structs import OpenStruct, Operation

OWN_API: Final = "/api/"
LISTS: Final = frozenset({"anthropic-beta", "ids[]"})
"""Parameters that may be given several times instead of once with commas: headers (RFC 9110 5.3), as the Go SDK sends
them, and queries that end in brackets, as the Anthropic SDKs do."""


class ParameterReader:
    """Reads the parameters of one operation; invalid ones are refused by name.

    Undeclared ones are ignored where SDKs of other services may send them, and refused by the gateway's own API.
    """

    def __init__(self, operation: Operation) -> None:
        self._struct = operation.parameters
        of_headers = (name for name, location in operation.locations.items() if location.endswith("header"))
        self._in_path = tuple(name for name, location in operation.locations.items() if location == "path")
        self._in_query = tuple(name for name, place in operation.locations.items() if place.startswith("query"))
        self._refuses_undeclared = operation.paths[0].startswith(OWN_API)
        # Headers are looked up in half the time by names that know that their case does not matter.
        self._in_headers = tuple((name, istr(name)) for name in of_headers)

    def read(self, request: web.Request) -> OpenStruct:
        """Return the parameters of a request; raises `RefusedError`."""
        sent = {name: [request.match_info[name]] for name in self._in_path}
        if "?" in request.path_qs:
            if self._refuses_undeclared:
                self._refuse_undeclared(request)
            for name in self._in_query:
                if name in request.query:
                    sent[name] = request.query.getall(name)
        headers = request.headers
        for name, key in self._in_headers:
            if key in headers:
                sent[name] = [*sent.get(name, ()), *headers.getall(key)]
        texts = {name: _one_text(name, values) for name, values in sent.items()}
        try:
            return msgspec.convert(texts, self._struct, strict=False)
        except msgspec.ValidationError as error:
            raise refuse_input(error, self._struct) from error

    def _refuse_undeclared(self, request: web.Request) -> None:
        name = next((name for name in request.query if name not in self._in_query), None)
        if name is not None:
            known = f"the parameters are {', '.join(self._in_query)}" if self._in_query else "there are no parameters"
            message = f"{name}: no such parameter; {known}"
            raise RefusedError("invalid_request_error", message, param=name, code=UNKNOWN_PARAMETER)


def _one_text(name: str, values: list[str]) -> str:
    """Return the value of a parameter that is given once, or several times where it is a list."""
    if len(values) > 1 and name not in LISTS:
        message = f"{name}: it is given {len(values)} times; give it once"
        raise RefusedError("invalid_request_error", message, param=name)
    text = ",".join(values)
    if not _is_utf8(text):
        raise RefusedError("invalid_request_error", f"{name}: it is not UTF-8", param=name)
    return text


def _is_utf8(text: str) -> bool:
    """Check that a header was UTF-8: aiohttp keeps other bytes as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
