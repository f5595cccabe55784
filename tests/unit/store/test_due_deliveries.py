"""A look for due deliveries reads those that it returns, however many others are pending; in steps of SQLite."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from batchgate.store.queries import load_queries
from tests.support.migrated_file import DATABASE_FILE, put_migrated_file

QUERIES = load_queries("batchgate.store.sqlite", "webhooks.sql")
LATER = 10**6


def add_pending(connection: sqlite3.Connection, number: int) -> None:
    """Store a webhook with so many pending deliveries, each of a batch of its own."""
    connection.execute(
        "INSERT INTO webhooks (key, id, workspace, events, secret, created_at, updated_at)"
        " VALUES (1, 'h', 'w', '[]', x'00', 1, 1)"
    )
    connection.executemany(
        "INSERT INTO webhook_deliveries (webhook_key, event_id, batch_key, type, payload, created_at, state, attempts,"
        " next_attempt_at, retry_until) VALUES (1, :n, :n, 't', '{}', :n, 'pending', 0, :n, 9)",
        [{"n": n} for n in range(number)],
    )


def steps(folder: Path, query: str, pending: int) -> int:
    """Return how many tens of steps SQLite takes for a query beside so many pending deliveries."""
    folder.mkdir()
    put_migrated_file(folder)
    taken = 0

    def count() -> int:
        nonlocal taken
        taken += 1
        return 0

    connection = sqlite3.connect(folder / DATABASE_FILE)
    try:
        add_pending(connection, pending)
        connection.set_progress_handler(count, 10)
        assert connection.execute(QUERIES[query], {"webhook_key": 1, "now": LATER, "limit": 4}).fetchall()
    finally:
        connection.close()
    return taken


@pytest.mark.parametrize("query", ["due_deliveries", "due_webhooks"])
def test_a_look_takes_no_longer_when_many_deliveries_are_pending(tmp_path: Path, query: str) -> None:
    assert steps(tmp_path / "many", query, 2000) <= 2 * steps(tmp_path / "few", query, 20)
