"""Lists of thousands of files are complete and in order, in whatever pieces they are read and encoded."""

import sqlite3
import time
from contextlib import closing

import pytest

from batchgate.api.answer_encoding import ITEMS_AT_ONCE
from tests.support.running_app import RunningApp

FILES = 2 * ITEMS_AT_ONCE + 1
INSERT = """
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :count)
INSERT INTO files (id, workspace, provider, purpose, filename, size, sha256, created_at, blob)
SELECT printf('file-%d', n), 'default', 'openai', 'batch', printf('%d.jsonl', n), n, x'00', :now, printf('files/%d', n)
FROM numbers
"""


@pytest.fixture
def files(gateway: RunningApp) -> RunningApp:
    """Add files to the gateway's database."""
    with closing(sqlite3.connect(gateway.data_dir / "batchgate.db")) as connection:
        connection.execute(INSERT, {"count": FILES, "now": time.time_ns() // 1000})
        connection.commit()
    return gateway


@pytest.mark.parametrize("limit", [ITEMS_AT_ONCE - 1, ITEMS_AT_ONCE, ITEMS_AT_ONCE + 1, 2 * ITEMS_AT_ONCE, FILES])
async def test_a_long_list_has_every_file_once_and_in_order(files: RunningApp, limit: int) -> None:
    status, page = await files.call("GET", f"/openai/v1/files?order=asc&limit={limit}")
    assert status == 200
    assert [file["id"] for file in page["data"]] == [f"file-{n}" for n in range(1, limit + 1)]
    assert [file["bytes"] for file in page["data"]] == [*range(1, limit + 1)]
    assert (page["first_id"], page["last_id"], page["has_more"]) == ("file-1", f"file-{limit}", limit < FILES)


async def test_a_long_list_of_the_unified_surface_is_the_same(files: RunningApp) -> None:
    _, page = await files.call("GET", "/v1/files?provider=openai")
    assert [file["id"] for file in page["data"]] == [f"file-{n}" for n in range(FILES, 0, -1)]
