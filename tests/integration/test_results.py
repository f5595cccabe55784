"""Downloads of results: ranges, ETags, compression, and partial results of a running batch."""

import gzip
from pathlib import Path

import msgspec
import pytest

from tests.support.blob_storage import ON_FOLDER_AND_BUCKET
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

pytestmark = ON_FOLDER_AND_BUCKET

IDS = [f"request-{number}" for number in range(600)]
PLAIN = {"Accept-Encoding": "identity"}


async def results(app: RunningApp, batch_id: str, **headers: str) -> tuple[int, bytes, dict[str, str]]:
    url = f"{app.url}{BATCHES}/{batch_id}/results"
    async with app.client.get(url, headers=headers or PLAIN, auto_decompress=False) as response:
        return response.status, await response.read(), {key.lower(): value for key, value in response.headers.items()}


@pytest.fixture
async def batch_id(gateway: RunningApp) -> str:
    ended = await gateway.ended((await gateway.create(*IDS))["id"])
    return str(ended["id"])


async def test_a_plain_download_has_its_length_and_an_etag(gateway: RunningApp, batch_id: str) -> None:
    status, body, headers = await results(gateway, batch_id)
    assert (status, int(headers["content-length"]), headers["content-type"]) == (200, len(body), "application/x-jsonl")
    assert headers["etag"]
    assert headers["vary"] == "Accept-Encoding"
    assert len(body.splitlines()) == len(IDS)
    cached_status, cached_body, _ = await results(gateway, batch_id, **PLAIN, **{"If-None-Match": headers["etag"]})
    assert (cached_status, cached_body) == (304, b"")


async def test_a_client_resumes_a_broken_download_with_a_range(gateway: RunningApp, batch_id: str) -> None:
    _, whole, headers = await results(gateway, batch_id)
    wanted = {"Range": "bytes=1000-", "If-Range": headers["etag"]}
    status, rest, partial = await results(gateway, batch_id, **wanted, **{"Accept-Encoding": "gzip"})
    assert (status, rest) == (206, whole[1000:])
    assert partial["content-range"] == f"bytes 1000-{len(whole) - 1}/{len(whole)}"


@pytest.mark.parametrize("unit", ["bytes={size}-", "bytes={size}-{size}", "lines=1-2", "bytes=5-2"])
@pytest.mark.parametrize("more", [{}, {"If-Range": "Wed, 21 Oct 2065 07:28:00 GMT"}])
async def test_a_range_outside_the_file_is_refused_with_the_file_size(
    gateway: RunningApp, batch_id: str, unit: str, more: dict[str, str]
) -> None:
    _, whole, _ = await results(gateway, batch_id)
    size = len(whole)
    wanted = unit.format(size=size)
    status, body, headers = await results(gateway, batch_id, **PLAIN, **more, Range=wanted)
    assert (status, headers["content-type"], headers["content-range"]) == (416, "application/json", f"bytes */{size}")
    error = msgspec.json.decode(body)["error"]
    assert error["type"] == "invalid_request_error"
    assert error["message"] == f"Range: {wanted!r} is outside of the file, which has {size} bytes"


async def test_a_range_of_an_older_file_is_ignored(gateway: RunningApp, batch_id: str) -> None:
    more = {"If-Range": "Wed, 21 Oct 2015 07:28:00 GMT", "Range": "bytes=9999999-"}
    status, _, _ = await results(gateway, batch_id, **PLAIN, **more)
    assert status == 200


@pytest.mark.parametrize("tag", ['"of-another-file"', "W/{etag}", "no-tag-at-all", ""])
@pytest.mark.parametrize("unit", ["bytes=1000-", "bytes=9999999-"])
async def test_a_client_with_a_part_of_another_file_receives_the_whole_file(
    gateway: RunningApp, batch_id: str, tag: str, unit: str
) -> None:
    # Once, the gateway returned 206: a client that trusts its If-Range would have combined parts of two files.
    _, whole, plain = await results(gateway, batch_id)
    more = {"If-Range": tag.format(etag=plain["etag"]), "Range": unit}
    status, body, headers = await results(gateway, batch_id, **PLAIN, **more)
    assert (status, body, headers["etag"]) == (200, whole, plain["etag"])
    assert "content-range" not in headers
    assert headers["request-id"].startswith("req_")


async def test_if_none_match_takes_precedence_over_a_range_of_another_file(gateway: RunningApp, batch_id: str) -> None:
    _, _, plain = await results(gateway, batch_id)
    more = {"If-Range": '"of-another-file"', "Range": "bytes=0-9", "If-None-Match": plain["etag"]}
    assert (await results(gateway, batch_id, **PLAIN, **more))[0] == 304


@pytest.mark.parametrize("accepted", ["gzip", "gzip, deflate", "br;q=1.0, gzip;q=0.8"])
async def test_a_client_that_accepts_gzip_receives_the_same_lines_compressed(
    gateway: RunningApp, batch_id: str, accepted: str
) -> None:
    _, whole, _ = await results(gateway, batch_id)
    status, body, headers = await results(gateway, batch_id, **{"Accept-Encoding": accepted})
    assert (status, headers["content-encoding"]) == (200, "gzip")
    assert gzip.decompress(body) == whole
    assert len(body) * 4 < len(whole)


@pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0"])
async def test_a_client_that_does_not_accept_gzip_receives_plain_lines(
    gateway: RunningApp, batch_id: str, accepted: str
) -> None:
    _, _, headers = await results(gateway, batch_id, **{"Accept-Encoding": accepted})
    assert "content-encoding" not in headers


async def download_partial(app: RunningApp, batch_id: str) -> tuple[str, list[bytes]]:
    async with app.client.get(f"{app.url}/api/batches/{batch_id}/results") as response:
        assert response.status == 200
        assert response.content_type == "application/x-jsonl"
        return response.headers["batchgate-results"], (await response.read()).splitlines()


async def test_the_partial_results_of_a_running_batch_contain_its_finished_requests(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(latency_by_model={"slow": 30.0})}
    body = create_body("slow", model="slow")
    body["requests"] += create_body("a", "b")["requests"]
    async with running_app(tmp_path, accounts=accounts, shutdown_timeout=0.0) as app:
        _, batch = await app.call("POST", BATCHES, json=body)
        while (found := await download_partial(app, batch["id"]))[0] != "2/3":
            assert found[0] in {"0/3", "1/3"}
        progress, lines = found
        assert progress == "2/3"
        assert [line.partition(b",")[0] for line in lines] == [b'{"custom_id":"a"', b'{"custom_id":"b"']


async def test_the_partial_results_of_an_ended_batch_are_complete(gateway: RunningApp, batch_id: str) -> None:
    _, whole, _ = await results(gateway, batch_id)
    assert await download_partial(gateway, batch_id) == ("600/600", whole.splitlines())


async def test_a_partial_download_while_the_batch_ends_contains_every_announced_line(tmp_path: Path) -> None:
    ids = [f"r{number}" for number in range(3_000)]
    async with running_app(tmp_path, accounts={"simulator": simulator(latency=0.001)}) as app:
        batch = await app.create(*ids)
        progress, ended = "", False
        while not ended:
            progress, lines = await download_partial(app, batch["id"])
            ended = progress == "3000/3000"
            assert len(lines) >= int(progress.partition("/")[0])
            assert len({line.partition(b",")[0] for line in lines}) == len(lines)
        assert len(lines) == 3_000
