"""How the client commands reach a gateway: the options that they share."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, Final, ParamSpec, TypeVar
from urllib.parse import urlsplit

import click
from msgspec import Struct

from batchgate.cli.gateway_client import GatewayClient

P = ParamSpec("P")
R = TypeVar("R")

DEFAULT_URL: Final = "http://127.0.0.1:8080"
URL_VARIABLE: Final = "BATCHGATE_URL"
API_KEY_VARIABLE: Final = "BATCHGATE_API_KEY"


class Connection(Struct, frozen=True):
    """Where the gateway is, and the key that it knows the caller by."""

    url: str
    api_key: str | None = None

    def __repr__(self) -> str:
        """Show the place without the key."""
        return f"Connection({self.url!r})"

    def client(self) -> GatewayClient:
        """Make a client, to be entered."""
        return GatewayClient(self.url, self.api_key)

    def command(self, *words: str) -> str:
        """Write a command that reaches the same gateway from the user's shell."""
        implied = os.environ.get(URL_VARIABLE) or DEFAULT_URL
        place = [] if self.url == implied.rstrip("/") else ["--url", self.url]
        return shlex.join(["batchgate", *words, *place])


def header_value(_context: click.Context, _parameter: click.Parameter, value: str | None) -> str | None:
    """Check an option that is sent in a header; what it is does not show when it is refused."""
    text = (value or "").strip()
    if not text.isascii() or not text.isprintable():
        raise click.BadParameter("it may have visible ASCII characters only")
    return text or None


def connected(command: Callable[Concatenate[Connection, P], R]) -> Callable[P, R]:
    """Give a command the options that say where the gateway is; it takes them as a `Connection`."""

    @click.option(
        "--url",
        metavar="URL",
        default=DEFAULT_URL,
        show_default=True,
        envvar=URL_VARIABLE,
        show_envvar=True,
        callback=_checked_url,
        help="Reach the gateway at this URL.",
    )
    @click.option(
        "--api-key",
        metavar="KEY",
        envvar=API_KEY_VARIABLE,
        show_envvar=True,
        callback=header_value,
        help="Send this key to the gateway, where it has API keys; better kept in the environment.",
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
    except ValueError:  # a port that is none, or a bracket that does not close
        usable = False
    if not usable or parts.query or parts.fragment:
        raise click.BadParameter(f"it must be the URL of a gateway, such as {DEFAULT_URL}")
    return value.rstrip("/")
