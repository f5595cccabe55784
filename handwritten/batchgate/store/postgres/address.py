"""The address of a PostgreSQL database, which may hold a password that nobody is to read."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from batchgate.engine.model.errors import ConfigurationError

EXPECTED: Final = "postgresql://USER:PASSWORD@HOST:PORT/DATABASE, with %40 for an @ in the password, %2F for a slash"
_DEFAULTS: Final = {
    "fallback_application_name": "batchgate",
    "connect_timeout": "5",
    # A server that has vanished without a word is noticed, and whoever waits for it is told.
    "keepalives_idle": "5",
    "keepalives_interval": "2",
    "keepalives_count": "3",
    "tcp_user_timeout": "10000",
}


class Address:
    """Where a database is, checked; raises `ConfigurationError`, which does not quote it."""

    def __init__(self, url: str) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError:
            # libpq quotes the part that it does not understand, which may be the password: its words go no further.
            raise ConfigurationError("database_url", EXPECTED) from None
        if "@" in (urlsplit(url).username or "") + (urlsplit(url).password or ""):
            raise ConfigurationError("database_url", EXPECTED)
        self._secrets = [value for value in (urlsplit(url).password, given.get("password")) if value]
        self.conninfo = make_conninfo("", **(_DEFAULTS | given))

    def hidden(self, text: str) -> str:
        """Take the password out of a text, and what the driver adds to the first line of it: advice, in several."""
        for secret in self._secrets:
            text = text.replace(str(secret), "***")
        return next((line.rstrip() for line in text.splitlines() if line.strip()), "")
