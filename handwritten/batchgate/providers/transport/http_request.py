"""Writes the head of an HTTP/1.1 request; a template is cached for each URL and set of header names."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from yarl import URL

_HEADER_NAME: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
"""A valid header name (RFC 9110, section 5.6.2)."""
_CONTROL_CHARACTER: Final = re.compile(r"[\0-\x08\x0a-\x1f\x7f]")
"""A character that no header may contain, such as the line breaks of header injection."""
_FRAMING_HEADERS: Final = frozenset(
    {"connection", "content-length", "expect", "te", "trailer", "transfer-encoding", "upgrade"}
)
"""Headers that only the transport may write, as they define where a message ends."""


class InvalidUrlError(ValueError):
    """A URL cannot be used for an HTTP call."""


class Origin(NamedTuple):
    """The endpoint of connections: calls to the same origin can share connections."""

    scheme: str
    host: str
    port: int


class ParsedUrl(NamedTuple):
    """The parts of a URL in the form that a request needs."""

    origin: Origin
    host_header: str
    path: str
    authorization: str | None
    """From the credentials of the URL, if it has any."""


@lru_cache(maxsize=256)
def parse_url(url: str) -> ParsedUrl:
    """Parse a URL; raises `InvalidUrlError`."""
    try:
        parsed = URL(url)
        host, port = parsed.raw_host, parsed.port
    except ValueError as error:
        raise InvalidUrlError from error
    if parsed.scheme not in {"http", "https"} or not host or not port:
        raise InvalidUrlError
    return ParsedUrl(
        origin=Origin(parsed.scheme, host, port),
        host_header=parsed.host_port_subcomponent or host,
        path=parsed.raw_path_qs,
        authorization=_authorization(parsed),
    )


def request_head(url: str, headers: Mapping[str, str], length: int, user_agent: str) -> bytes:
    """Return the head of a POST whose body has ``length`` bytes; raises `ValueError` for an invalid header."""
    template = _template(url, tuple(headers), user_agent)
    values = tuple(headers.values())
    if _CONTROL_CHARACTER.search("".join(values)):
        raise ValueError("a header has a control character")
    try:
        return (template % (*values, length)).encode()
    except UnicodeEncodeError:
        raise ValueError("a header has a lone surrogate") from None  # the exception would quote the key


@lru_cache(maxsize=256)
def _template(url: str, names: tuple[str, ...], user_agent: str) -> str:
    """Return the head with ``%s`` for the value of each named header and then for the length of the body."""
    caller_names = {name.lower() for name in names}
    if len(caller_names) < len(names) or caller_names & _FRAMING_HEADERS or not all(map(_HEADER_NAME.fullmatch, names)):
        raise ValueError("a header name is invalid, repeated, or reserved for the transport")
    target = parse_url(url)
    own_headers = {
        "host": target.host_header,
        "user-agent": user_agent,
        "accept": "*/*",
        "accept-encoding": "gzip, deflate",
        "authorization": target.authorization,
    }
    if target.authorization and "authorization" in caller_names:
        raise ValueError("credentials are both in the URL and in a header")
    lines = [
        f"{name}: {value}".replace("%", "%%")
        for name, value in own_headers.items()
        if value and name not in caller_names
    ]
    lines += [f"{name}: ".replace("%", "%%") + "%s" for name in names]
    path = target.path.replace("%", "%%")
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "content-length: %s", "", ""])


def _authorization(url: URL) -> str | None:
    if url.user is None and url.password is None:
        return None
    credentials = f"{url.user or ''}:{url.password or ''}".encode()
    return f"Basic {base64.b64encode(credentials).decode()}"
