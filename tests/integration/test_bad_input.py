"""Invalid bodies of a create: the error names the place in the body, and nothing is stored."""

import json
from typing import Any

import pytest

from batchgate.api.create_body import MAX_REQUEST, MAX_REQUESTS, WINDOW
from batchgate.api.create_faults import MAX_PROBLEMS
from tests.support.error_responses import JSON, expect_anthropic_error, expect_create_error
from tests.support.running_app import BATCHES, RunningApp, create_body

FAULT = "¬"
"""Marks the place of the fault in a test body; it is removed before the body is sent."""


def requests(*items: Any) -> bytes:
    return json.dumps({"requests": list(items)}).encode()


def request(custom_id: Any = "a", params: Any = None, **more: Any) -> dict[str, Any]:
    return {"custom_id": custom_id, "params": {} if params is None else params} | more


def in_params(text: str) -> str:
    return f'{{"requests":[{{"custom_id":"a","params":{{"x":{text}}}}}]}}'


@pytest.mark.parametrize(
    "marked_body",
    [
        pytest.param("¬hello", id="plain text"),
        pytest.param(" ¬\ufeff{}", id="byte order mark behind the start"),
        pytest.param("{¬'requests':[]}", id="single quotes"),
        pytest.param("{¬requests:[]}", id="key without quotes"),
        pytest.param('{"requests"¬[]}', id="no colon"),
        pytest.param('{"requests":[{"custom_id":"a","params":{}},¬]}', id="comma after the last request"),
        pytest.param('{"requests":[{"custom_id":"a","params":{}},¬,{"custom_id":"b","params":{}}]}', id="two commas"),
        pytest.param('{"requests":[{"custom_id":"a","params":{}} ¬{"custom_id":"b","params":{}}]}', id="no comma"),
        pytest.param('{"requests":[{"custom_id":"a¬\n","params":{}}]}', id="newline in a custom_id"),
        pytest.param(in_params("¬NaN"), id="NaN"),
        pytest.param(in_params("¬None"), id="None of Python"),
        pytest.param(in_params("0¬1"), id="number with a leading zero"),
        pytest.param(in_params("[1,¬]"), id="comma after the last item"),
        pytest.param(in_params('"a¬\nb"'), id="newline in a string"),
        pytest.param(in_params('"\\¬q"'), id="unknown escape"),
        pytest.param(in_params("1 ¬// one"), id="comment"),
    ],
)
async def test_the_error_for_invalid_json_names_the_byte_of_the_fault(gateway: RunningApp, marked_body: str) -> None:
    before, _, after = marked_body.partition(FAULT)
    message = await expect_create_error(gateway, (before + after).encode())
    assert message.startswith("the body is not valid JSON: ")
    assert message.endswith(f"(byte {len(before.encode())})")


@pytest.mark.parametrize("more", [" x", '{"requests":[]}', "]", "}"])
async def test_text_after_the_body_is_refused(gateway: RunningApp, more: str) -> None:
    message = await expect_create_error(gateway, requests(request()) + more.encode())
    assert message.startswith("the body is not valid JSON: trailing characters (byte ")


@pytest.mark.parametrize("kept", [0, 1, 11, 13, 14, 20, 30, 40, 41, 42])
async def test_a_body_that_ends_too_early_is_refused(gateway: RunningApp, kept: int) -> None:
    body = b'{"requests":[{"custom_id":"a","params":{}}]}'
    assert await expect_create_error(gateway, body[:kept]) == "the body is not valid JSON: it ends too early"


async def test_the_error_for_a_late_fault_names_its_byte_in_the_whole_body(gateway: RunningApp) -> None:
    good = requests(*(request(f"r{number}", {"x": "a" * 4096}) for number in range(600)))
    assert len(good) > 2 * WINDOW
    body = good.removesuffix(b"}]}") + b",}]}"
    assert f"(byte {len(body) - 3})" in await expect_create_error(gateway, body)


@pytest.mark.parametrize(
    ("before", "invalid"),
    [
        pytest.param(b'{"requests":[{"custom_id":"a","params":{"x":"', b"\xff", id="invalid first byte"),
        pytest.param(b'{"requests":[{"custom_id":"a","params":{"x":"', b"\xc3", id="missing second byte"),
        pytest.param(b'{"requests":[{"custom_id":"a","params":{"x":"', b"\xed\xa0\x80", id="surrogate"),
        pytest.param(b'{"requests":[{"custom_id":"', b"\xff", id="in a custom_id"),
    ],
)
async def test_the_error_for_invalid_utf_8_names_its_byte(gateway: RunningApp, before: bytes, invalid: bytes) -> None:
    message = await expect_create_error(gateway, before + invalid + b'"}}]}')
    assert message == f"the body is not valid JSON: it is not UTF-8 (byte {len(before)})"


@pytest.mark.parametrize("fill", [0, 5_000], ids=["small", "several windows"])
@pytest.mark.parametrize(
    "half", ["\\ud83d", "\\uDE00", "\\ud83dx", "\\ud83d\\u0041", "\\ud83d\\ud83d\\ude00", "\\\\\\ud800"]
)
async def test_the_error_for_a_lone_surrogate_names_its_request(gateway: RunningApp, half: str, fill: int) -> None:
    good = [request(f"r{number}", {"x": "😀" + "a" * fill}) for number in range(600)]
    good[421] = request("r421", {"x": "half"})
    body = requests(*good)
    lone = half.lstrip("\\")[:5]
    place = body.index(b"half") + half.index(f"\\{lone}")
    message = await expect_create_error(gateway, body.replace(b"half", half.encode()))
    assert message == (
        f"requests.421: Invalid JSON: \\{lone} is a lone surrogate, half of a character (byte {place} of the body)"
    )


async def test_escapes_that_resemble_a_lone_surrogate_are_accepted(gateway: RunningApp) -> None:
    body = requests(request("a", {"x": "whole"})).replace(b"whole", rb"\ud83d\ude00 \\ud83d \\\\udc00 \uD83D\uDE00")
    assert (await gateway.call("POST", BATCHES, data=body, headers=JSON))[0] == 200


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "requests: Field required"),
        (b"[]", "Input should be an object, not an array"),
        (b"null", "Input should be an object, not null"),
        (b'"requests"', "Input should be an object, not a string"),
        (b"1", "Input should be an object, not an integer"),
        (b'{"requests":[]}', "requests: there must be at least 1 request"),
        (b'{"requests": [ ] }', "requests: there must be at least 1 request"),
        (b'{"requests":null}', "requests: it must be an array of requests"),
        (b'{"requests":{}}', "requests: it must be an array of requests"),
        (b'{"requests":"a"}', "requests: it must be an array of requests"),
        (requests(None), "requests.0: Input should be an object, not null"),
        (requests([]), "requests.0: Input should be an object, not an array"),
        (requests(request(), 7), "requests.1: Input should be an object, not an integer"),
        (requests({}), "requests.0.custom_id: Field required"),
        (requests({"params": {}}), "requests.0.custom_id: Field required"),
        (requests(request(None)), "requests.0.custom_id: Input should be a string, not null"),
        (requests(request(1)), "requests.0.custom_id: Input should be a string, not an integer"),
        (requests({"custom_id": "a"}), "requests.0.params: Field required"),
        (requests(request(params=[])), "requests.0.params: it must be an object, the params of a Messages request"),
        (requests(request(params="a")), "requests.0.params: it must be an object, the params of a Messages request"),
        (requests(request(params=0)), "requests.0.params: it must be an object, the params of a Messages request"),
        (
            b'{"requests":[{"custom_id":"a","params":null}]}',
            "requests.0.params: it must be an object, the params of a Messages request",
        ),
        (b'{"metadata":{},"requests":[]}', "metadata: Extra inputs are not permitted"),
        (requests(request()).removesuffix(b"}") + b',"metadata":1}', "metadata: Extra inputs are not permitted"),
        (requests(request()).removesuffix(b"}") + b',"metadata":[{}]}', "metadata: Extra inputs are not permitted"),
        (requests(request("a"), request("b", method="POST")), "requests.1.method: Extra inputs are not permitted"),
    ],
)
async def test_the_error_for_an_invalid_create_body_names_the_place(
    gateway: RunningApp, body: bytes, message: str
) -> None:
    assert await expect_create_error(gateway, body) == message


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"requests":[%b],"requests":[%b]}', id="two arrays"),
        pytest.param(b'{"requests":1,"requests":[%b,%b]}', id="an array at last"),
        pytest.param(b'{"request\\u0073":[%b,%b]}', id="with escapes"),
    ],
)
async def test_a_repeated_or_escaped_requests_key_is_refused(gateway: RunningApp, body: bytes) -> None:
    items = tuple(json.dumps(request(custom_id)).encode() for custom_id in "ab")
    message = await expect_create_error(gateway, body % items)
    assert message == "requests: the key is there twice, or spelled with escapes; send it once, as it is"


async def test_requests_must_be_an_array_even_if_the_key_is_repeated(gateway: RunningApp) -> None:
    body = requests(request()).removesuffix(b"}") + b',"requests":1}'
    assert await expect_create_error(gateway, body) == "requests: it must be an array of requests"


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"requests":[{"params":{},"custom_id":"a"}]}', id="params before custom_id"),
        pytest.param(b'{"requests":[{"custom\\u005fid":"\\u0061","p\\u0061rams":{}}]}', id="escaped keys of a request"),
        pytest.param(b' \t\r\n{ "requests"\n:\r[ { "custom_id" : "a" , "params" : { } } ] }\n ', id="white space"),
        pytest.param(requests(request(params={"stream": True, "any": [{"thing": None}]})), id="params unchecked"),
    ],
)
async def test_equivalent_json_in_another_notation_is_accepted(gateway: RunningApp, body: bytes) -> None:
    status, batch = await gateway.call("POST", BATCHES, data=body, headers=JSON)
    assert status == 200, batch
    assert [line["custom_id"] for line in await gateway.results((await gateway.ended(batch["id"]))["id"])] == ["a"]


PATTERN = "String should match pattern '^[a-zA-Z0-9_-]{1,64}$'"


@pytest.mark.parametrize(
    ("custom_id", "problem"),
    [
        pytest.param("", "String should have at least 1 character", id="empty"),
        pytest.param("x" * 65, "String should have at most 64 characters", id="too long"),
        pytest.param("ä" * 65, "String should have at most 64 characters", id="too long in characters"),
        pytest.param(" ", PATTERN, id="space"),
        pytest.param("a b", PATTERN, id="space inside"),
        pytest.param(" a", PATTERN, id="space before"),
        pytest.param("a.b", PATTERN, id="dot"),
        pytest.param("a/b", PATTERN, id="slash"),
        pytest.param("ä", PATTERN, id="umlaut"),
        pytest.param("٣", PATTERN, id="a digit that is not ASCII"),
        pytest.param("😀", PATTERN, id="emoji"),
        pytest.param("a\x00", PATTERN, id="null"),
        pytest.param("a\nb", PATTERN, id="newline inside"),
        pytest.param("a\n", "it ends with a newline", id="newline at the end"),
    ],
)
async def test_a_batch_with_a_malformed_custom_id_is_refused(gateway: RunningApp, custom_id: str, problem: str) -> None:
    body = requests(request("good"), request(custom_id))
    assert await expect_create_error(gateway, body) == f"requests.1.custom_id: {problem}"


async def test_the_error_names_every_problem_in_the_body(gateway: RunningApp) -> None:
    filler = [request(f"filler-{number}", {"x": "a" * 4096}) for number in range(600)]
    invalid = [request("a b"), request("good"), request("good"), request(params=1), {"custom_id": "x"}]
    body = requests(*invalid, *filler, request(""))
    assert (await expect_create_error(gateway, body)).split("; ") == [
        f"requests.0.custom_id: {PATTERN}",
        "requests.2.custom_id: 'good' is already the custom_id of requests.1",
        "each must be unique",
        "requests.3.params: it must be an object, the params of a Messages request",
        "requests.4.params: Field required",
        "requests.605.custom_id: String should have at least 1 character",
    ]


@pytest.mark.parametrize("invalid", ["a b", "a"], ids=["malformed", "repeated"])
async def test_the_error_names_at_most_max_problems(gateway: RunningApp, invalid: str) -> None:
    message = await expect_create_error(gateway, requests(request("a"), *[request(invalid)] * 200))
    assert message.count("requests.") - message.count("of requests.") == MAX_PROBLEMS
    assert f"requests.{MAX_PROBLEMS}.custom_id" in message
    assert f"requests.{MAX_PROBLEMS + 1}.custom_id" not in message
    assert message.endswith(" (more may follow: only the first are named)")


async def test_the_error_for_a_repeated_custom_id_names_its_first_request(gateway: RunningApp) -> None:
    message = await expect_create_error(gateway, requests(*map(request, "abcba")))
    assert "requests.3.custom_id: 'b' is already the custom_id of requests.1" in message
    assert "requests.4.custom_id: 'a' is already the custom_id of requests.0" in message
    assert message.count("must be unique") == 2


async def test_more_than_100_000_requests_are_refused(gateway: RunningApp) -> None:
    body = requests(*(request(f"r{number}") for number in range(MAX_REQUESTS + 1)))
    assert await expect_create_error(gateway, body) == "requests: there may be at most 100000 requests"


async def test_a_request_of_more_than_32_mb_is_refused(gateway: RunningApp) -> None:
    body = requests(request("a"), request("b", {"x": "a" * MAX_REQUEST}), request("c"))
    message = await expect_create_error(gateway, body, expected=(413, "request_too_large"))
    assert message == f"requests.1: one request may have at most {MAX_REQUEST} bytes"


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"x":[', "]}")], ids=["arrays", "objects"])
async def test_the_error_for_too_deeply_nested_params_names_their_request(
    gateway: RunningApp, opening: str, closing: str, *, follows: bool, closed: bool
) -> None:
    deep = in_params(opening * 20_000 + closing * 20_000 * closed).replace('"a"', '"b"')
    requests_of_deep = deep.removeprefix('{"requests":[').removesuffix("]}").encode()
    first = requests(request("a")).removesuffix(b"]}")
    last = b',{"custom_id":"c","params":{}}' if follows else b""
    message = await expect_create_error(gateway, first + b"," + requests_of_deep + last + b"]}")
    assert message == "requests.1: Invalid JSON: nested too deeply"


async def test_a_body_of_nested_objects_alone_is_refused(gateway: RunningApp) -> None:
    assert "nested too deeply" in await expect_create_error(gateway, b'{"requests":' + b'{"x":' * 10_000)


async def test_a_large_body_that_does_not_start_with_requests_is_refused_early(gateway: RunningApp) -> None:
    message = await expect_create_error(gateway, b" " * WINDOW + requests(request()))
    assert message == 'the body must begin with {"requests": [, within its first 65536 bytes'


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "application/jsonl", ""],
)
async def test_a_body_that_is_not_declared_as_json_is_refused(gateway: RunningApp, content_type: str) -> None:
    message = await expect_anthropic_error(
        gateway,
        "POST",
        BATCHES,
        expected=(415, "invalid_request_error"),
        json=create_body("a"),
        headers={"Content-Type": content_type},
    )
    assert message.startswith("Content-Type: it must be application/json")


async def test_a_body_without_a_content_type_is_refused(gateway: RunningApp) -> None:
    message = await expect_anthropic_error(
        gateway,
        "POST",
        BATCHES,
        expected=(415, "invalid_request_error"),
        data=requests(request()),
        skip_auto_headers=["Content-Type"],
    )
    assert message == "Content-Type: it must be application/json, and is none"


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON", "text/x+json"])
async def test_every_way_to_declare_json_is_accepted(gateway: RunningApp, content_type: str) -> None:
    headers = {"Content-Type": content_type}
    status, _ = await gateway.call("POST", BATCHES, json=create_body("a"), headers=headers)
    assert status == 200
