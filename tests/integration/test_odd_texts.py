"""Ids and cursors with text that some or all databases cannot store."""

import asyncio

import pytest

from tests.support.running_app import BATCHES, RunningApp
from tests.support.unified_batches import BATCHES as UNIFIED

ODD = ("a%00b", "%00", "%FF", "%ED%A0%80")
"""A NUL character, invalid UTF-8, and half of a surrogate pair."""


async def status_of(app: RunningApp, method: str, path: str) -> int:
    """Send a path without encoding it, which no client library does."""
    host, _, port = app.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()
    )
    line = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return int(line.split()[1])


@pytest.mark.parametrize("odd", ODD)
async def test_an_id_that_is_not_valid_text_is_not_found(gateway: RunningApp, odd: str) -> None:
    for path in (
        f"{BATCHES}/{odd}",
        f"{BATCHES}/{odd}/results",
        f"/openai/v1/files/{odd}",
        f"/openai/v1/files/{odd}/content",
    ):
        assert await status_of(gateway, "GET", path) == 404, path
    for path in (f"{BATCHES}/{odd}", f"/openai/v1/files/{odd}", f"/v1/files/{odd}?provider=openai"):
        assert await status_of(gateway, "DELETE", path) == 404, path
    for path in (f"{BATCHES}/{odd}/cancel", f"/openai/v1/batches/{odd}/cancel"):
        assert await status_of(gateway, "POST", path) == 404, path


@pytest.mark.parametrize("odd", ODD)
async def test_a_cursor_that_is_not_valid_text_is_refused(gateway: RunningApp, odd: str) -> None:
    for query in (f"{BATCHES}?after_id={odd}", f"{BATCHES}?before_id={odd}", f"{BATCHES}?page_token={odd}"):
        assert await status_of(gateway, "GET", query) == 400, query
    for query in (f"/openai/v1/files?after={odd}", f"/openai/v1/batches?after={odd}", f"{UNIFIED}?provider={odd}"):
        assert await status_of(gateway, "GET", query) == 400, query
