"""The options that every client command shares: the gateway's URL and the API key."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import click
from msgspec import Struct

from batchgate.cli.command_text import DEFAULT_URL, URL_VARIABLE, command_text
from batchgate.cli.gateway_client import GatewayClient

P = ParamSpec("P")
R = TypeVar("R")

API_KEY_VARIABLE: Final = "BATCHGATE_API_KEY"
SDK_PATHS: Final = ("/anthropic", "/openai/v1", "/openai")
"""The paths that the base URLs of SDKs have beside the gateway's URL."""


class Connection(Struct, frozen=True):
    """The URL of a gateway, and the caller's API key."""

    url: str
    api_key: str | None = None

    def __repr__(self) -> str:
        """Show the URL without the key."""
        return f"Connection({self.url!r})"

    def client(self) -> GatewayClient:
        """Create a client; it is an async context manager."""
        return GatewayClient(self.url, self.api_key)

    def command(self, *words: str) -> str:
        """Return a shell command that reaches the same gateway."""
        return command_text(self.url, *words)


def header_value(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Check an option that is sent in a header; the error does not show the value, which may be a key."""
    text = (value or "").strip()
    if not text.isascii() or not text.isprintable():
        raise click.BadParameter("only printable ASCII characters are allowed")
    return text or None


def connected(command: Callable[Concatenate[Connection, P], R]) -> Callable[P, R]:
    """Add the options --url and --api-key to a command, which gets them as a `Connection`."""

    @click.option(
        "--url",
        metavar="URL",
        default=DEFAULT_URL,
        show_default=True,
        envvar=URL_VARIABLE,
        show_envvar=True,
        callback=_checked_url,
        help="URL of the gateway.",
    )
    @click.option(
        "--api-key",
        metavar="KEY",
        envvar=API_KEY_VARIABLE,
        show_envvar=True,
        callback=header_value,
        help="API key of the caller; prefer the environment variable.",
    )
    @wraps(command)
    def with_connection(*args: P.args, **options: P.kwargs) -> R:
        connection = Connection(str(options.pop("url")), options.pop("api_key"))  # type: ignore[arg-type]
        return command(connection, *args, **options)

    return with_connection


def _checked_url(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:  # an invalid port, or a bracket that is not closed
        usable = False
    if not usable or parts.query or parts.fragment:
        raise click.BadParameter(f"it must be the URL of a gateway, such as {DEFAULT_URL}")
    return _without_api(value.rstrip("/"))


def _without_api(url: str) -> str:
    """Return the URL of the gateway for a base URL of an SDK, which ends with the path of an API."""
    ending = next((path for path in SDK_PATHS if url.endswith(path)), "")
    return url.removesuffix(ending)
