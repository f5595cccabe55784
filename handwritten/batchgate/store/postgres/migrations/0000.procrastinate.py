"""The tables and functions of the queue, as the release of Procrastinate has them that this package is pinned to."""

from procrastinate.schema import SchemaManager
from psycopg import Connection
from yoyo import step


def make_queue(connection: Connection) -> None:
    """Make what Procrastinate needs."""
    connection.execute(SchemaManager.get_schema())


step(make_queue)
