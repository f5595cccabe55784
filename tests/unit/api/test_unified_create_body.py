"""Reading a unified create in pieces of any size gives the same result as parsing the whole body."""

import itertools
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchgate.api import create_body
from batchgate.api.content_encoding import IdentityDecoder
from batchgate.api.create_body import MAX_HEAD, CreateReader
from batchgate.api.unified.create_body import UnifiedBatchFormat
from batchgate.engine.model.errors import RefusedError

NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A slow machine must not fail the test."""
CUTS = st.lists(st.integers(0, 2**16), max_size=12)
WINDOWS = st.sampled_from([1, 64, create_body.WINDOW])
CHAT, RESPONSES, MESSAGES = "/v1/chat/completions", "/v1/responses", "/v1/messages"

LOOK_ALIKES: tuple[Any, ...] = (
    '"requests":[',
    '},{"custom_id":"a","body":{}}',
    '}],[{"body"',
    ']},"model":"x"}',
    "\\",
    '\\"},{"url"',
    "\u2028 ü 😀 \x7f",
    [{"a": 1}, {"custom_id": "b", "url": {}}, {"body": [{}, {"custom_id": 1}]}],
    {"requests": [{"custom_id": "c"}, {"params": {}}]},
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=6) | st.sampled_from(LOOK_ALIKES),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
CONTENTS = st.dictionaries(st.sampled_from(["model", "requests", "custom_id", "x"]), VALUES, max_size=3)
TEXTS = st.sampled_from(["}", "],", '"requests":[{', "\\", "a b", '{"', "]}", "ü"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "model": st.sampled_from(["openai/gpt", "gpt", 'a/"requests":[']),
        "completion_window": st.just("24h"),
        "metadata": st.dictionaries(TEXTS, TEXTS, max_size=3) | st.none(),
        "output_expires_after": st.just({"anchor": "created_at", "seconds": 3600}) | st.none(),
    },
)


@st.composite
def creates(draw: st.DrawFn) -> dict[str, Any]:
    """Generate a valid create with its fields in any order."""
    endpoint = draw(st.sampled_from([CHAT, RESPONSES, MESSAGES]))
    field = "params" if endpoint == MESSAGES and draw(st.booleans()) else "body"
    named = draw(st.booleans()) or (endpoint != CHAT and field == "body")
    requests = []
    for custom_id in draw(st.lists(st.text("abc09_-", min_size=1, max_size=6), min_size=1, max_size=6, unique=True)):
        members = {"custom_id": custom_id, field: draw(CONTENTS)}
        if named:
            members["url"] = endpoint
        if draw(st.booleans()):
            members["method"] = "POST"
        requests.append(dict(draw(st.permutations(list(members.items())))))
    fields = draw(FIELDS) | {"requests": requests}
    if draw(st.booleans()):
        fields["endpoint"] = endpoint
    return dict(draw(st.permutations(list(fields.items()))))


@contextmanager
def limits(**named: int) -> Iterator[None]:
    """Lower the limits of the reader, so that small bodies reach them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setattr(create_body, name, value)
        yield


def pieces_of(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    positions = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(positions)]


def read(pieces: Sequence[bytes], *, started: int = 0) -> tuple[list[bytes], UnifiedBatchFormat]:
    """Read a body; if `started`, pass the first pieces to `begin` until it returns true."""
    form = UnifiedBatchFormat()
    reader = CreateReader(IdentityDecoder(), form)
    rest = iter(pieces)
    if started:
        next((piece for piece in rest if reader.begin(piece)), None)
        rest = itertools.chain([b""], rest)
    lines = [line for piece in rest for part in reader.feed(piece) for line in part]
    return lines + reader.finish(), form


def refused(body: bytes | dict[str, Any], *cuts: int) -> RefusedError:
    written = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(RefusedError) as error:
        read(pieces_of(written, cuts))
    return error.value


def expected_lines(create: dict[str, Any]) -> list[Any]:
    first = create["requests"][0]
    endpoint = first.get("url") or create.get("endpoint") or (MESSAGES if "params" in first else CHAT)
    if endpoint == MESSAGES:
        return [
            {"custom_id": row["custom_id"], "params": row.get("params", row.get("body"))} for row in create["requests"]
        ]
    return [
        {"custom_id": row["custom_id"], "method": "POST", "url": endpoint, "body": row["body"]}
        for row in create["requests"]
    ]


@given(create=creates(), indent=st.none() | st.integers(0, 2), cuts=CUTS, window=WINDOWS, started=st.booleans())
@NO_DEADLINE
def test_a_create_with_any_field_order_gives_the_same_result_as_parsing_the_whole(
    create: dict[str, Any], indent: int | None, cuts: Sequence[int], window: int, started: bool
) -> None:
    body = json.dumps(create, indent=indent, ensure_ascii=False).encode()
    with limits(WINDOW=window):
        lines, form = read(pieces_of(body, cuts), started=started)
    assert [json.loads(line) for line in lines] == expected_lines(create)
    assert all(line.count(b"\n") == 1 and line.startswith(b'{"custom_id":') for line in lines)
    fields = msgspec.to_builtins(form.fields)
    assert fields.pop("requests") == []
    assert fields == {name: value for name, value in create.items() if name != "requests"}


@given(create=creates(), cuts=CUTS, window=WINDOWS, kept=st.integers(0, 2**16))
@NO_DEADLINE
def test_a_truncated_create_is_refused(create: dict[str, Any], cuts: Sequence[int], window: int, kept: int) -> None:
    body = json.dumps(create, ensure_ascii=False).encode()
    with limits(WINDOW=window), pytest.raises(RefusedError):
        read(pieces_of(body[: kept % len(body)], cuts))


@given(
    create=creates(),
    cuts=CUTS,
    window=WINDOWS,
    place=st.integers(0, 2**16),
    byte=st.integers(0, 255) | st.sampled_from(b'{}[],:"\\ \n'),
)
@example(create={"metadata": {"a": {}, "b": ""}, "requests": []}, cuts=[], window=256, place=26, byte=ord("x"))
@settings(NO_DEADLINE, max_examples=200)
def test_a_create_with_one_wrong_byte_is_refused_or_parsed_like_the_whole(
    create: dict[str, Any], cuts: Sequence[int], window: int, place: int, byte: int
) -> None:
    body = bytearray(json.dumps(create, ensure_ascii=False).encode())
    body[place % len(body)] = byte
    try:
        with limits(WINDOW=window):
            lines, _ = read(pieces_of(bytes(body), cuts))
    except RefusedError:
        return
    assert [json.loads(line) for line in lines] == expected_lines(json.loads(bytes(body)))


def rows(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"custom_id": str(number), "body": {"x": "a" * 50}} | more for number in range(count)]


def test_an_endpoint_after_few_requests_applies_to_them() -> None:
    lines, form = read([json.dumps({"requests": rows(3), "endpoint": RESPONSES}).encode()])
    assert {json.loads(line)["url"] for line in lines} == {RESPONSES}
    assert form.endpoint == RESPONSES


def test_an_endpoint_after_many_requests_that_need_it_is_refused() -> None:
    body = json.dumps({"requests": rows(50), "endpoint": RESPONSES}).encode()
    with limits(WINDOW=256):
        error = refused(body, *range(0, len(body), 200))
        assert (error.message, error.param) == (
            "endpoint: it comes behind many requests that name no url; put it before them",
            "endpoint",
        )
        read(pieces_of(json.dumps({"requests": rows(50), "endpoint": CHAT}).encode(), range(0, len(body), 200)))
        read(pieces_of(json.dumps({"endpoint": RESPONSES, "requests": rows(50)}).encode(), range(0, len(body), 200)))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"metadata": {"a": "x" * MAX_HEAD}, "requests": rows(1)}, id="before"),
        pytest.param({"requests": rows(1), "metadata": {"a": "x" * MAX_HEAD}}, id="after"),
        pytest.param({"requests": rows(50), "metadata": {"a": "x" * MAX_HEAD}}, id="after many"),
    ],
)
def test_the_size_of_fields_other_than_requests_is_limited(body: dict[str, Any]) -> None:
    with limits(WINDOW=256, MAX_WINDOW=2048):
        assert f"{MAX_HEAD} bytes" in refused(body, *range(0, 2**17, 1000)).message


@pytest.mark.parametrize("before", [0, 1, 9])
@pytest.mark.parametrize("size", [1025, 2000, 2100, 4096])
@pytest.mark.parametrize("tail", [{}, {"metadata": {"a": "b"}}, {"metadata": {str(n): "b" * 500 for n in range(9)}}])
@pytest.mark.parametrize("step", [100, 5000])
def test_a_too_large_last_request_is_reported_as_such_whatever_follows(
    before: int, size: int, tail: dict[str, Any], step: int
) -> None:
    last = {"custom_id": "last", "body": {"x": "a" * (size - len('{"x": ""}'))}}
    with limits(WINDOW=256, MAX_REQUEST=1024, MAX_WINDOW=2048):
        error = refused({"requests": [*rows(before), last]} | tail, *range(0, 9000, step))
    assert (error.kind, error.message) == (
        "request_too_large",
        f"requests.{before}: one request may have at most 1024 bytes",
    )


def test_a_too_large_tail_after_a_request_of_the_maximum_size_is_reported_as_such() -> None:
    last = {"custom_id": "last", "body": {"x": "a" * (1024 - len('{"x": ""}'))}}
    with limits(WINDOW=256, MAX_REQUEST=1024, MAX_HEAD=1024, MAX_WINDOW=2048):
        error = refused({"requests": [last], "metadata": {"a": "b" * 3000}}, *range(0, 9000, 100))
    assert error.message.startswith("requests: what follows this array may have at most")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b'{"model":"a","requests":[{"custom_id":"a","body":{}}],"requests":[]}', "twice", id="twice"),
        pytest.param(b'{"re\\u0071uests":[{"custom_id":"a","body":{}}]}', "without escapes", id="escaped"),
        pytest.param(b'{"x":{"requests":[1]},"requests":[]}', "x: Extra inputs", id="nested, in no field"),
        pytest.param(b'{"metadata":{"a":"\\ud83d"},"requests":[{}]}', "lone surrogate", id="lone surrogate before"),
        pytest.param(
            b'{"requests":[{"custom_id":"a","body":{}}],"model":"\\ud83d"}',
            "lone surrogate",
            id="lone surrogate after",
        ),
        pytest.param(
            b'{"requests":[{"custom_id":"a","body":{"x":"\\ud83d"}}],"model":"a"}', "requests.0: ", id="in a request"
        ),
        pytest.param(b'{"requests":[{"custom_id":"a","body":{}},],"model":"a"}', "trailing comma", id="comma"),
        pytest.param(b'{"requests":[{"custom_id":"a","body":{}}] "model":"a"}', "(byte 42)", id="no comma"),
        pytest.param(b'{"requests":[{"custom_id":"a","body":{}}]', "ends too early", id="no brace"),
        pytest.param(b"[]", "Input should be an object", id="no object"),
    ],
)
def test_errors_around_the_requests_are_reported(body: bytes, message: str) -> None:
    assert message in refused(body).message
