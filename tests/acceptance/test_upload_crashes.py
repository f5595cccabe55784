"""A gateway that is killed in the middle of an upload, and right after one, and what of the file is there then."""

import http.client
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.storage_leaks import check_no_storage_leaks
from tests.support.uploads import BATCH_LINE, MULTIPART, OPENAI, file_part, form, part

CONTENT = BATCH_LINE * 60_000
"""More than one write buffer of a body."""
FORM = form(part("purpose", "batch"), file_part(CONTENT))


def connection(gateway: GatewayProcess) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)


def get(gateway: GatewayProcess, path: str) -> bytes:
    with closing(connection(gateway)) as calling:
        calling.request("GET", path)
        answer = calling.getresponse()
        assert answer.status == 200
        return answer.read()


def listed(gateway: GatewayProcess) -> list[dict[str, Any]]:
    files = json.loads(get(gateway, OPENAI))["data"]
    assert isinstance(files, list)
    return files


def bodies(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def test_an_upload_that_is_cut_by_a_kill_leaves_nothing_after_the_next_start(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway, closing(connection(gateway)) as calling:
        calling.putrequest("POST", OPENAI)
        for name, value in {**MULTIPART, "Content-Length": str(len(FORM))}.items():
            calling.putheader(name, value)
        calling.endheaders(FORM[: len(FORM) // 2])
        while not bodies(tmp_path):
            assert listed(gateway) == []
        gateway.kill()
    assert bodies(tmp_path)
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway:
        assert listed(gateway) == []
        check_no_storage_leaks(tmp_path)
        assert bodies(tmp_path) == []


def test_an_upload_that_was_acknowledged_is_whole_after_a_kill(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway, closing(connection(gateway)) as calling:
        calling.request("POST", OPENAI, FORM, MULTIPART)
        answer = calling.getresponse()
        gateway.kill()
        assert answer.status == 200
        file = json.loads(answer.read())
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway:
        assert listed(gateway) == [file]
        assert get(gateway, f"{OPENAI}/{file['id']}/content") == CONTENT
        check_no_storage_leaks(tmp_path)
