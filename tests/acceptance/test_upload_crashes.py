"""A gateway that is killed during an upload keeps nothing of the file; one killed after an upload keeps all of it."""

import http.client
import json
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.support.gateway_process import SIMULATOR, GatewayProcess
from tests.support.storage_leaks import check_no_storage_leaks
from tests.support.uploads import BATCH_LINE, MULTIPART, OPENAI, file_part, form, part

CONTENT = BATCH_LINE * 60_000
"""Larger than the buffer through which the gateway writes a blob."""
FORM = form(part("purpose", "batch"), file_part(CONTENT))


def connect(gateway: GatewayProcess) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(gateway.url.removeprefix("http://"), timeout=20)


def get(gateway: GatewayProcess, path: str) -> bytes:
    with closing(connect(gateway)) as connection:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read()


def list_files(gateway: GatewayProcess) -> list[dict[str, Any]]:
    files = json.loads(get(gateway, OPENAI))["data"]
    assert isinstance(files, list)
    return files


def list_blobs(data_dir: Path) -> list[Path]:
    return [path for path in (data_dir / "blobs").rglob("*") if path.is_file()]


def test_a_kill_during_an_upload_leaves_nothing_after_the_next_start(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway, closing(connect(gateway)) as connection:
        connection.putrequest("POST", OPENAI)
        for name, value in {**MULTIPART, "Content-Length": str(len(FORM))}.items():
            connection.putheader(name, value)
        connection.endheaders(FORM[: len(FORM) // 2])
        while not list_blobs(tmp_path):
            assert list_files(gateway) == []
        gateway.kill()
    assert list_blobs(tmp_path)
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway:
        assert list_files(gateway) == []
        check_no_storage_leaks(tmp_path)
        assert list_blobs(tmp_path) == []


def test_an_acknowledged_upload_is_complete_after_a_kill(tmp_path: Path) -> None:
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway, closing(connect(gateway)) as connection:
        connection.request("POST", OPENAI, FORM, MULTIPART)
        response = connection.getresponse()
        gateway.kill()
        assert response.status == 200
        file = json.loads(response.read())
    with GatewayProcess(data_dir=tmp_path, settings=SIMULATOR) as gateway:
        assert list_files(gateway) == [file]
        assert get(gateway, f"{OPENAI}/{file['id']}/content") == CONTENT
        check_no_storage_leaks(tmp_path)
