"""Which answers are kept for equal reads, and until when."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from batchgate.api import repeated_reads
from batchgate.api.authentication import Authenticator, ConfiguredKey
from batchgate.api.binding import Binder, Method
from batchgate.api.json_answer import JsonAnswer
from batchgate.api.public_url import PublicUrl
from batchgate.api.repeated_reads import RepeatedReads, repeatable
from batchgate.api.session_cookie import SessionCookies
from batchgate.engine.model.api_key import Caller, hash_key
from batchgate.engine.model.clock import SystemClock
from batchgate.engine.tenancy.api_key_cache import ApiKeyCache
from batchgate.store.sqlite.store import SqliteStore
from batchgate_api.operations import OPERATIONS
from batchgate_api.structs import OpenStruct

[LIST] = (operation for operation in OPERATIONS if operation.id == "listMessageBatches")
PATH: Final = LIST.paths[0]


class Answer(msgspec.Struct):
    """An answer of the method."""

    number: int
    padding: str


class Reads:
    """Reads of one operation, whose method counts its calls."""

    def __init__(self, folder: Path, *, marked: bool = True, padding: str = "") -> None:
        self.calls = 0
        self.state: object | None = object()
        keys = [ConfiguredKey(digest=hash_key("sk-known"), caller=Caller(name="known"))]
        cache = ApiKeyCache(SqliteStore(folder / "unopened.db").tenants, SystemClock())
        authenticator = Authenticator(keys, cache, SessionCookies(PublicUrl(None, ())))

        async def method(_: web.Request, __: OpenStruct) -> Answer:
            self.calls += 1
            return Answer(self.calls, padding)

        chosen: Method = repeatable(method) if marked else method
        self._handler = Binder(authenticator).bind(LIST, chosen, PATH, "")
        self.repeated = RepeatedReads(authenticator, lambda: self.state)

    async def read(self, query: str = "", method: str = "GET") -> int:
        """Return which call of the method gave the answer."""
        request = make_mocked_request(method, f"{PATH}{query}", headers={"x-api-key": "sk-known"})
        response = await self.repeated.answer(request, self._handler)
        assert isinstance(response, JsonAnswer)
        return msgspec.json.decode(response.content, type=Answer).number


async def test_an_answer_is_kept_until_something_is_committed(tmp_path: Path) -> None:
    reads = Reads(tmp_path)
    assert [await reads.read() for _ in range(3)] == [1, 1, 1]
    reads.state = object()
    assert [await reads.read() for _ in range(3)] == [2, 2, 2]


async def test_an_answer_is_kept_for_the_very_same_request(tmp_path: Path) -> None:
    reads = Reads(tmp_path)
    assert [await reads.read(query) for query in ("", "?limit=2", "?limit=3", "?limit=2")] == [1, 2, 3, 2]


async def test_no_answer_is_kept_while_commits_are_not_seen(tmp_path: Path) -> None:
    reads = Reads(tmp_path)
    reads.state = None
    assert [await reads.read() for _ in range(2)] == [1, 2]


async def test_only_answers_of_marked_methods_to_get_are_kept(tmp_path: Path) -> None:
    unmarked = Reads(tmp_path, marked=False)
    assert [await unmarked.read() for _ in range(2)] == [1, 2]
    posted = Reads(tmp_path)
    assert [await posted.read(method="POST") for _ in range(2)] == [1, 2]


async def test_an_answer_that_was_read_before_a_commit_is_not_kept_after_it(tmp_path: Path) -> None:
    reads = Reads(tmp_path)
    slow = make_mocked_request("GET", PATH, headers={"x-api-key": "sk-known"})

    async def overtaken(_: web.Request) -> web.StreamResponse:
        reads.state = object()
        await reads.read("?limit=2")
        return JsonAnswer(b'{"number":0,"padding":""}', repeatable=True)

    await reads.repeated.answer(slow, overtaken)
    assert await reads.read() == 2


async def test_the_memory_of_kept_answers_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = Reads(tmp_path, padding="x" * repeated_reads.MAX_SIZE)
    assert [await large.read() for _ in range(2)] == [1, 2]
    monkeypatch.setattr(repeated_reads, "MAX_KEPT", 2)
    reads = Reads(tmp_path)
    assert [await reads.read(f"?limit={number}") for number in (1, 2, 3, 3, 1)] == [1, 2, 3, 3, 4]
