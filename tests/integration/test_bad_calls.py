"""Calls that are refused before their body is read: wrong paths, methods and parameters, and malformed HTTP."""

from pathlib import Path

import pytest

from tests.support.error_responses import assert_nothing_stored, check_anthropic_error, expect_anthropic_error
from tests.support.raw_http import raw_connection, request_head
from tests.support.running_app import BATCHES, RunningApp, create_body, running_app, simulator

INVALID = (400, "invalid_request_error")
NOT_FOUND = (404, "not_found_error")
NOT_ALLOWED = (405, "invalid_request_error")
MOUNTS = ["/anthropic", "", "/anthropic/v1", "/v1"]

OPERATIONS_ON_AN_ID = pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("GET", f"{BATCHES}/{{}}", id="retrieve"),
        pytest.param("POST", f"{BATCHES}/{{}}/cancel", id="cancel"),
        pytest.param("DELETE", f"{BATCHES}/{{}}", id="delete"),
        pytest.param("GET", f"{BATCHES}/{{}}/results", id="results"),
        pytest.param("GET", "/api/batches/{}/progress", id="progress"),
    ],
)
UNKNOWN_ID = "msgbatch_013Zva2CMHLNnXjNJJKqJ2EF"


@OPERATIONS_ON_AN_ID
@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        pytest.param(UNKNOWN_ID, UNKNOWN_ID, id="well-formed"),
        pytest.param("x", "x", id="short"),
        pytest.param("x" * 128, "x" * 128, id="maximum length"),
        pytest.param("a%2Fb", "a/b", id="slash"),
        pytest.param("%2E%2E", "..", id="dots"),
        pytest.param("a%20b", "a b", id="space"),
        pytest.param("a%3Fb%23c", "a?b#c", id="characters that end a path"),
        pytest.param("%C3%A4%F0%9F%98%80", "ä😀", id="unicode"),
        pytest.param("a%00b", "a\x00b", id="null"),
        pytest.param("%25", "%", id="percent"),
        pytest.param("';DELETE%20FROM%20batches;--", "';DELETE FROM batches;--", id="SQL"),
    ],
)
async def test_an_unknown_batch_is_not_found(
    gateway: RunningApp, method: str, path: str, sent: str, meant: str
) -> None:
    message = await expect_anthropic_error(gateway, method, path.format(sent), expected=NOT_FOUND)
    assert message == f"There is no batch {meant!r} in this workspace."


@OPERATIONS_ON_AN_ID
async def test_an_id_that_is_too_long_is_refused(gateway: RunningApp, method: str, path: str) -> None:
    message = await expect_anthropic_error(gateway, method, path.format("x" * 129), expected=INVALID)
    assert message.endswith("batch_id: String should have at most 128 characters")


@pytest.mark.parametrize("name", ["after_id", "before_id", "page_token"])
@pytest.mark.parametrize("sent", [UNKNOWN_ID, "x", "%00", "%C3%A4", "%FF"])
async def test_an_unknown_cursor_is_refused_with_its_parameter_name(gateway: RunningApp, name: str, sent: str) -> None:
    message = await expect_anthropic_error(gateway, "GET", f"{BATCHES}?{name}={sent}", expected=INVALID)
    assert message.startswith(f"{name}: there is no batch ")


@pytest.mark.parametrize("name", ["limit", "page_size"])
@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        ("0", "Input should be greater than or equal to 1"),
        ("-1", "Input should be greater than or equal to 1"),
        ("1001", "Input should be less than or equal to 1000"),
        ("99999999999999999999", "Input should be less than or equal to 1000"),
        ("abc", "Input should be an integer, not a string"),
        ("", "Input should be an integer, not a string"),
        ("1.5", "Input should be an integer, not a string"),
        ("true", "Input should be an integer, not a string"),
        ("null", "Input should be an integer, not a string"),
        ("%D9%A1", "Input should be an integer, not a string"),
    ],
)
async def test_an_invalid_page_size_is_refused_with_its_parameter_name(
    gateway: RunningApp, name: str, sent: str, problem: str
) -> None:
    assert (
        await expect_anthropic_error(gateway, "GET", f"{BATCHES}?{name}={sent}", expected=INVALID)
        == f"{name}: {problem}"
    )


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("limit=1&limit=2", "limit: it is given 2 times; give it once"),
        ("limit=1&limit=1", "limit: it is given 2 times; give it once"),
        ("after_id=a&after_id=b&after_id=c", "after_id: it is given 3 times; give it once"),
        ("limit=1&page_size=1", "page_size: it means the same as limit; send only one of them"),
        ("after_id=a&page_token=a", "page_token: it means the same as after_id; send only one of them"),
        ("after_id=", "after_id: String should have at least 1 character"),
        (f"before_id={'x' * 129}", "before_id: String should have at most 128 characters"),
    ],
)
async def test_contradicting_parameters_are_refused(gateway: RunningApp, query: str, message: str) -> None:
    assert await expect_anthropic_error(gateway, "GET", f"{BATCHES}?{query}", expected=INVALID) == message


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", "/api/batches?stauts=ended", "stauts: no such parameter; the parameters are limit, after, name, "),
        ("POST", "/api/batches/x/resume?reason=why", "reason: no such parameter; there are no parameters"),
    ],
)
async def test_the_gateways_own_api_refuses_undeclared_parameters(
    gateway: RunningApp, method: str, path: str, message: str
) -> None:
    status, answer = await gateway.call(method, path)
    assert status == 400
    assert answer["error"]["message"].startswith(message)


async def test_the_gateways_own_api_refuses_a_body_that_it_does_not_read(gateway: RunningApp) -> None:
    batch = await gateway.create("a")
    path = f"/api/batches/{batch['id']}/pause"
    status, answer = await gateway.call("POST", path, json={"reason": "why"})
    assert status == 400
    assert answer["error"]["message"].endswith("takes no body; give its parameters in the query")
    assert (await gateway.call("POST", path, data=b""))[0] == 200


async def test_undeclared_parameters_are_ignored_where_sdks_may_send_them(gateway: RunningApp) -> None:
    status, _ = await gateway.call("GET", f"{BATCHES}?beta=true&limit=5&limits=0&x=%FF")
    assert status == 200


async def test_the_error_for_an_unknown_provider_lists_the_configured_accounts(tmp_path: Path) -> None:
    accounts = {"simulator": simulator(), "other": simulator()}
    async with running_app(tmp_path, accounts=accounts, default_provider="other") as gateway:
        headers = {"x-model-provider": "azure"}
        message = await expect_anthropic_error(
            gateway, "POST", BATCHES, expected=INVALID, json=create_body("a"), headers=headers
        )
    assert message == "x-model-provider: there is no account 'azure'; configured: simulator, other"


async def test_a_create_without_any_account_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    async with running_app(tmp_path, accounts={}) as gateway:
        message = await expect_anthropic_error(gateway, "POST", BATCHES, expected=INVALID, json=create_body("a"))
    assert message.startswith("no account is configured; set a provider's key")


@pytest.mark.parametrize(
    "header",
    ["x-model-provider", "anthropic-version", "anthropic-beta", "anthropic-user-profile-id"],
)
async def test_a_header_that_is_not_utf_8_is_refused_with_its_name(gateway: RunningApp, header: str) -> None:
    body = b'{"requests":[{"custom_id":"a","params":{}}]}'
    lines = ("Content-Type: application/json", f"Content-Length: {len(body)}", f"{header}: \xff")
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(f"POST {BATCHES}", *lines) + body)
        answer = await connection.read_response()
    message = check_anthropic_error(answer.status, answer.headers, answer.body, expected=INVALID)
    assert message == f"{header}: it is not UTF-8"
    await assert_nothing_stored(gateway)


@pytest.mark.parametrize(
    ("header", "length"),
    [("x-model-provider", 65), ("anthropic-version", 65), ("anthropic-beta", 2049), ("anthropic-user-profile-id", 129)],
)
async def test_a_header_that_is_too_long_is_refused_with_its_name(
    gateway: RunningApp, header: str, length: int
) -> None:
    message = await expect_anthropic_error(
        gateway, "POST", BATCHES, expected=INVALID, json=create_body("a"), headers={header: "x" * length}
    )
    assert message == f"{header}: String should have at most {length - 1} characters"


@pytest.mark.parametrize("header", ["x-model-provider", "anthropic-version", "anthropic-user-profile-id"])
async def test_a_repeated_header_is_refused_with_its_name(gateway: RunningApp, header: str) -> None:
    headers = [(header, "simulator"), (header, "simulator")]
    message = await expect_anthropic_error(
        gateway, "POST", BATCHES, expected=INVALID, json=create_body("a"), headers=headers
    )
    assert message == f"{header}: it is given 2 times; give it once"


async def test_beta_names_may_be_sent_in_several_headers_as_the_go_sdk_does(gateway: RunningApp) -> None:
    headers = [("anthropic-beta", "message-batches-2024-09-24"), ("anthropic-beta", "output-300k-2026-03-24")]
    status, batch = await gateway.call("POST", f"{BATCHES}?beta=true", json=create_body("a"), headers=headers)
    assert status == 200, batch


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", BATCHES, "GET, HEAD, POST"),
        ("PATCH", BATCHES, "GET, HEAD, POST"),
        ("DELETE", BATCHES, "GET, HEAD, POST"),
        ("OPTIONS", BATCHES, "GET, HEAD, POST"),
        ("POST", f"{BATCHES}/x", "DELETE, GET, HEAD"),
        ("PUT", f"{BATCHES}/x", "DELETE, GET, HEAD"),
        ("GET", f"{BATCHES}/x/cancel", "POST"),
        ("DELETE", f"{BATCHES}/x/cancel", "POST"),
        ("POST", f"{BATCHES}/x/results", "GET, HEAD"),
        ("POST", "/health", "GET, HEAD"),
        ("DELETE", "/openapi.json", "GET, HEAD"),
        ("POST", "/api/batches/x/progress", "GET, HEAD"),
    ],
)
async def test_the_error_for_a_wrong_method_lists_the_allowed_methods(
    gateway: RunningApp, method: str, path: str, allowed: str
) -> None:
    async with gateway.client.request(method, gateway.url + path) as response:
        message = check_anthropic_error(response.status, response.headers, await response.read(), expected=NOT_ALLOWED)
        assert response.headers["Allow"] == allowed
    assert message == f"{path} does not answer to {method}; it answers to {allowed}."
    await assert_nothing_stored(gateway)


@pytest.mark.parametrize("mount", MOUNTS)
async def test_a_wrong_method_is_refused_under_every_mount(gateway: RunningApp, mount: str) -> None:
    message = await expect_anthropic_error(gateway, "PUT", f"{mount}/v1/messages/batches", expected=NOT_ALLOWED)
    assert message.startswith(f"{mount}/v1/messages/batches does not answer to PUT")


@pytest.mark.parametrize(
    ("path", "status", "body_length"),
    [
        pytest.param(BATCHES, 200, len('{"data":[],"has_more":false,"first_id":null,"last_id":null}'), id="list"),
        pytest.param("/health", 200, None, id="health"),
        pytest.param(f"{BATCHES}/x", 404, None, id="unknown batch"),
        pytest.param(f"{BATCHES}/x/cancel", 405, None, id="no such method"),
        pytest.param("/nowhere", 404, None, id="unknown path"),
    ],
)
async def test_head_returns_the_response_of_get_without_its_body(
    gateway: RunningApp, path: str, status: int, body_length: int | None
) -> None:
    async with gateway.client.head(gateway.url + path) as response:
        assert response.status == status
        assert response.headers["request-id"].startswith("req_01")
        assert response.content_type == "application/json"
        assert body_length is None or response.content_length == body_length
        assert await response.read() == b""


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/v1",
        "/v1/",
        "/v1/messages",
        "/v1/messages/batchess",
        "/v1/models",
        "/v1/messages/batches/",
        "/v1/messages/batches/x/",
        "/v1/messages/batches/x/cancel/now",
        "/v1/messages/batches/x/nothing",
        "/V1/Messages/Batches",
        "//v1/messages/batches",
        "/v1/v1/v1/messages/batches",
        "/anthropic",
        "/anthropic/",
        "/anthropic/v1/nowhere",
        "/anthropic/v1/v1/nowhere",
        "/anthropic/messages/batches",
        "/api",
        "/api/batches/x/y",
        "/health/",
        "/openapi.yaml",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_unknown_path_is_not_found(gateway: RunningApp, method: str, path: str) -> None:
    message = await expect_anthropic_error(gateway, method, path, expected=NOT_FOUND)
    assert message == f"There is nothing at {path}; see /openapi.json."


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        pytest.param(b"hello\r\n\r\n", "Invalid method encountered:", id="not a request"),
        pytest.param(b"FETCH /health HTTP/1.1\r\n\r\n", "Invalid method encountered:", id="unknown method"),
        pytest.param(b"GET /health HTTP/9.9\r\n\r\n", "Bad status line:", id="unknown version"),
        pytest.param(b"GET /\xff HTTP/1.1\r\n\r\n", "Invalid char in url path:", id="raw bytes in the path"),
        pytest.param(b"GET /health HTTP/1.1\r\n\r\n", "Missing 'Host' header in request.", id="no host"),
        pytest.param(request_head("GET /health", "Host: other"), "Duplicate 'Host' header found.", id="two hosts"),
        pytest.param(request_head("GET /health", "no colon"), "Invalid header token:", id="header without a colon"),
        pytest.param(request_head("GET /health", "a: b\0"), "Invalid header value char:", id="null in a header"),
        pytest.param(request_head("GET /health", "a: b", " c: d"), "Unexpected whitespace", id="folded header"),
        pytest.param(
            request_head("GET /health", "a: " + "b" * 9_000), "a line of its head is too long", id="long header"
        ),
        pytest.param(request_head("GET /" + "a" * 9_000), "a line of its head is too long", id="long path"),
        pytest.param(
            request_head("POST /health", "Content-Length: abc"), "Invalid character in Content-Length", id="length"
        ),
        pytest.param(
            request_head("POST /health", "Content-Length: 1", "Content-Length: 2"),
            "Duplicate Content-Length",
            id="two lengths",
        ),
        pytest.param(
            request_head("POST /health", "Content-Length: 1", "Transfer-Encoding: chunked"),
            "Transfer-Encoding can't be present with Content-Length",
            id="length and chunks",
        ),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "Received HTTPS traffic", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "Pause on PRI/Upgrade:", id="HTTP/2"),
    ],
)
async def test_malformed_http_is_refused_in_json_and_the_connection_is_closed(
    gateway: RunningApp, sent: bytes, reason: str
) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(sent)
        answer = await connection.read_response()
        assert await connection.is_closed()
    message = check_anthropic_error(answer.status, answer.headers, answer.body, expected=INVALID)
    assert message.startswith(f"The request is not valid HTTP: {reason}")
    await assert_nothing_stored(gateway)


@pytest.mark.parametrize("path", [BATCHES, "/health", "/nowhere"])
async def test_an_unsupported_expect_header_is_refused_in_json(gateway: RunningApp, path: str) -> None:
    async with raw_connection(gateway.url) as connection:
        await connection.send(request_head(f"GET {path}", "Expect: miracles"))
        answer = await connection.read_response()
    message = check_anthropic_error(answer.status, answer.headers, answer.body, expected=(417, "invalid_request_error"))
    assert message == "Unknown Expect: miracles"
