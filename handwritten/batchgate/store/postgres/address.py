"""The address of a PostgreSQL database, which may contain a password."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from batchgate.engine.model.errors import ConfigurationError

EXPECTED_URL: Final = (
    "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ in the password, %2F for a slash"
)
_DEFAULTS: Final = {
    "fallback_application_name": "batchgate",
    "connect_timeout": "5",
    # A server that vanishes without closing the connection is detected, and pending statements fail.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class PostgresAddress:
    """A validated database address. Raises `ConfigurationError`, which does not quote the URL."""

    def __init__(self, url: str) -> None:
        try:
            parameters = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # libpq quotes the part that it cannot parse, which may be the password: its message is dropped.
            raise ConfigurationError("database_url", EXPECTED_URL) from None
        if "@" in (urlsplit(url).username or "") + (urlsplit(url).password or ""):
            raise ConfigurationError("database_url", EXPECTED_URL)
        self._secrets = [value for value in (urlsplit(url).password, parameters.get("password")) if value]
        self.conninfo = make_conninfo("", **(_DEFAULTS | parameters))

    def redact(self, text: str) -> str:
        """Return the first line of a text, without the password and without the advice that the driver adds below."""
        for secret in self._secrets:
            text = text.replace(str(secret), "***")
        return next((line.rstrip() for line in text.splitlines() if line.strip()), "")
