"""The command line prints what a hostile gateway sends without its control characters."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from batchgate.cli.terminal_text import printable
from tests.support.gateway_process import clean_environment

HOSTILE = "\x1b]0;title\x07\x1b[2Jcleared\x9b31m\u202eturned\x7f"
SHOWN = r"\x1b]0;title\x07\x1b[2Jcleared\x9b31m\u202eturned\x7f"
COUNTS = {"processing": 0, "succeeded": 1, "errored": 0, "canceled": 0, "expired": 0}
BATCH = {
    "id": HOSTILE,
    "type": "message_batch",
    "processing_status": "ended",
    "request_counts": COUNTS,
    "created_at": "2026-11-28T08:00:00Z",
    "expires_at": "2026-11-29T08:00:00Z",
    "ended_at": None,
    "archived_at": None,
    "cancel_initiated_at": None,
    "results_url": None,
}
SUMMARY: dict[str, Any] = {
    "id": HOSTILE,
    "name": HOSTILE,
    "metadata": {HOSTILE: HOSTILE},
    "parent": HOSTILE,
    "status": "ended",
    "model": HOSTILE,
    "account": HOSTILE,
    "total": 1,
    **COUNTS,
    "paused": None,
    "spent": {"direct_usd": 0.0, "native_usd": 0.0, "saved_usd": 0.0, "unpriced": 0},
    "forecast": None,
    "created_at": "2026-11-28T08:00:00Z",
    "expires_at": "2026-11-29T08:00:00Z",
    "ended_at": None,
    "retried_calls": [],
}
PAGE = {"data": [SUMMARY], "next": None}
EVENT = b"event: status\ndata: %s\n\n" % msgspec.json.encode(SUMMARY | {"ended_at": "2026-11-28T08:00:00Z"})
ERROR = {"type": "error", "error": {"type": "api_error", "message": HOSTILE}, "request_id": HOSTILE}
KEY: dict[str, Any] = {
    "type": "api_key",
    "id": HOSTILE,
    "name": HOSTILE,
    "workspace": "w",
    "scopes": ["read"],
    "hint": HOSTILE,
}
AMOUNTS: dict[str, Any] = {
    "succeeded": 1,
    "errored": 0,
    "tokens": {"input": 1, "cached_input": 0, "output": 1, "reasoning": 0},
    "cost_usd": 0.0,
    "saved_usd": 0.0,
    "unpriced": 0,
    "paid_twice": 0,
}
USAGE = {
    "since": "2026-11-28",
    "until": "2026-11-28",
    "data": [{"model": HOSTILE, **AMOUNTS}],
    "total": AMOUNTS,
    "monthly_budgets": [],
    "workspace": {
        "name": "w",
        "created_at": "2026-11-28T08:00:00Z",
        "quotas": dict.fromkeys(
            (
                "queued_requests",
                "concurrent_batches",
                "stored_bytes",
                "files",
                "creates_per_minute",
                "monthly_spend_usd",
            )
        ),
    },
}
KEY |= {"created_at": "2026-11-28T08:00:00Z", "expires_at": None, "revoked_at": None, "last_used_at": None}
KEY |= {"monthly_budget_usd": None, "monthly_spend_usd": None}


async def run(folder: Path, status: int, body: object, *words: str) -> str:
    """Run a command against a gateway that always gives the same answer; return what the command printed."""
    sent = body if isinstance(body, bytes) else msgspec.json.encode(body)

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=sent, content_type="application/json")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server:
        environment = clean_environment() | {"BATCHGATE_URL": str(server.make_url("")), "PYTHONIOENCODING": "utf-8"}
        command = (sys.executable, "-m", "batchgate", *words)
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*command, env=environment, cwd=folder, stdout=pipe, stderr=pipe)
        stdout, stderr = await process.communicate()
    return (stdout + stderr).decode()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (400, ERROR, ("list",)),
        (400, ERROR, ("cancel", "msgbatch_1")),
        (200, PAGE, ("list",)),
        (200, BATCH, ("cancel", "msgbatch_1")),
        (200, EVENT, ("watch", "msgbatch_1")),
        (200, b"event: " + HOSTILE.encode() + b"\ndata: {}\n\n", ("watch",)),
        (200, USAGE, ("usage", "--by", "model")),
        (200, {"data": [KEY], "has_more": False, "last_id": HOSTILE}, ("keys", "list", "--workspace", "w")),
    ],
)
async def test_control_characters_of_an_answer_are_printed_as_escapes(
    tmp_path: Path, status: int, body: object, words: tuple[str, ...]
) -> None:
    printed = await run(tmp_path, status, body, *words)
    assert SHOWN in printed
    assert all(character.isprintable() or character == "\n" for character in printed)


async def test_json_output_has_the_same_values_without_raw_control_characters(tmp_path: Path) -> None:
    printed = await run(tmp_path, 200, PAGE, "list", "--json")
    assert all(character.isprintable() or character == "\n" for character in printed)
    assert msgspec.json.decode(printed)["id"] == HOSTILE


@pytest.mark.parametrize("text", ["plain", "two\nlines\tand a tab", "läufe.jsonl", "日本語 \U0001f600", ""])
def test_texts_that_print_are_not_changed(text: str) -> None:
    assert printable(text) == text
