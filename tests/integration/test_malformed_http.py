"""Malformed HTTP is refused in the envelope of its path if the path is clear, otherwise in that of the gateway."""

import msgspec
import pytest

from tests.support.raw_http import raw_connection
from tests.support.running_app import BATCHES, RunningApp

BAD_HEADER = "Host: localhost\r\nno colon\r\n\r\n"


@pytest.mark.parametrize("rest", [" HTTP/1.1\r\n" + BAD_HEADER, " and more HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("path", [BATCHES, "/openai/v1/files", "/v1/files", "/health"])
async def test_malformed_http_is_answered_in_the_envelope_of_its_path(
    gateway: RunningApp, path: str, rest: str
) -> None:
    _, good = await gateway.call("DELETE", f"{path}/nothing/there")
    async with raw_connection(gateway.url) as connection:
        await connection.send(f"GET {path}{rest}".encode())
        answer = await connection.read_response()
    error = msgspec.json.decode(answer.body)
    assert answer.status == 400
    assert error.keys() == good.keys()
    assert error["error"].keys() == good["error"].keys()


@pytest.mark.parametrize("before", ["", f"GET {BATCHES} HTTP/1.1\r\nHost: localhost\r\n\r\n"])
async def test_malformed_http_without_a_clear_path_is_answered_in_the_envelope_of_the_gateway(
    gateway: RunningApp, before: str
) -> None:
    _, good = await gateway.call("DELETE", "/health/nothing/there")
    async with raw_connection(gateway.url) as connection:
        if before:
            await connection.send(before.encode())
            assert (await connection.read_response()).status == 200
        await connection.send(b"\x16\x03\x01\r\n\r\n")
        answer = await connection.read_response()
    assert msgspec.json.decode(answer.body).keys() == good.keys()
