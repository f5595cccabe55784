"""Reading a create body in pieces of any size gives the same result as parsing the whole body."""

import itertools
import time
import tracemalloc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from batchgate.api import create_body
from batchgate.api.anthropic.create_body import MessageBatchReader
from batchgate.api.content_encoding import IdentityDecoder
from batchgate.api.create_body import MAX_REQUEST, MAX_REQUESTS
from batchgate.api.create_faults import MAX_PROBLEMS
from batchgate.engine.model.errors import RefusedError
from batchgate_api.anthropic import CreateMessageBatch

Line = tuple[str, bytes]
"""A custom_id and the bytes of its params."""

PLAIN = '"custom_id"'
ESCAPED = '"custom\\u005fid"'
CUSTOM_IDS = st.text("abcXYZ019_-", min_size=1, max_size=6)
BLANKS = st.lists(st.sampled_from(["", "", " ", "\n", "\r\n", "\t "]), min_size=1, max_size=7)
LOOK_ALIKES: tuple[Any, ...] = (
    '},{"custom_id":"a","params":{}}',
    '}],[{"params"',
    "\\",
    '\\"},{"custom_id"',
    "]}",
    "\u2028 ü 😀 \x7f",
    [{"a": 1}, {"custom_id": "b", "params": {}}, {"params": [{}, {"custom_id": 1}]}],
    {"requests": [{"custom_id": "c"}, {"params": {}}]},
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=12)
    | st.sampled_from(LOOK_ALIKES),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
PARAMS = st.dictionaries(st.sampled_from(["model", "params", "custom_id", "x"]), VALUES, max_size=3)


@st.composite
def bodies(draw: st.DrawFn, names: Sequence[str] = (PLAIN, ESCAPED)) -> bytes:
    """Generate a valid body with any field order, white space and escapes."""
    blanks = itertools.cycle(draw(BLANKS))
    requests = []
    for custom_id in draw(st.lists(CUSTOM_IDS, min_size=1, max_size=8, unique=True)):
        members = [(draw(st.sampled_from(names)), custom_id), ('"params"', draw(PARAMS))]
        if PLAIN in names:
            members = draw(st.permutations(members))
        written = (f"{key}{next(blanks)}:{_written(value, blanks)}" for key, value in members)
        requests.append(_joined("{}", written, blanks))
    body = _joined("{}", [f'"requests"{next(blanks)}:{next(blanks)}{_joined("[]", requests, blanks)}'], blanks)
    return f"{next(blanks)}{body}{next(blanks)}".encode()


def _written(value: Any, blanks: Iterator[str]) -> str:
    match value:
        case dict():
            members = (f"{_written(key, blanks)}:{_written(item, blanks)}" for key, item in value.items())
            text = _joined("{}", members, blanks)
        case list():
            text = _joined("[]", (_written(item, blanks) for item in value), blanks)
        case _:
            text = msgspec.json.encode(value).decode()
    return f"{next(blanks)}{text}{next(blanks)}"


def _joined(brackets: str, parts: Sequence[str] | Iterator[str], blanks: Iterator[str]) -> str:
    return brackets[0] + f"{next(blanks)},{next(blanks)}".join(parts) + next(blanks) + brackets[1]


def chunks(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Split a body at these positions, modulo its length."""
    positions = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(positions)]


NO_DEADLINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A slow machine must not fail the test."""
CUTS = st.lists(st.integers(0, 2**16), max_size=12)
EVERY_BYTE = range(2**12)


@contextmanager
def limits(**named: int) -> Iterator[None]:
    """Lower the limits of the reader, so that small bodies reach them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setattr(create_body, name, value)
        yield


def read(pieces: Iterable[bytes]) -> list[bytes]:
    """Read a body with the reader."""
    reader = MessageBatchReader(IdentityDecoder())
    lines = [line for piece in pieces for part in reader.feed(piece) for line in part]
    return lines + reader.finish()


def read_whole(body: bytes) -> list[bytes] | None:
    """Parse the whole body as one JSON document; return None if it must be refused."""
    try:
        body.decode()
        requests = msgspec.json.decode(body, type=CreateMessageBatch).requests
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    ids = {request.custom_id for request in requests}
    objects = [bytes(request.params) for request in requests if bytes(request.params).startswith(b"{")]
    if len(ids) < len(requests) or len(objects) < len(requests) or any("\n" in custom_id for custom_id in ids):
        return None
    return [
        b'{"custom_id":"%b","params":%b}\n' % (request.custom_id.encode(), _one_line(bytes(request.params)))
        for request in requests
    ]


def _one_line(params: bytes) -> bytes:
    return params.replace(b"\r", b" ").replace(b"\n", b" ")


@pytest.mark.parametrize("window", [create_body.WINDOW, 64, 1], ids=["one window", "many windows", "every cut"])
@given(body=bodies(), cuts=CUTS)
@example(body=b'{"requests":[{"custom_id":"a","params":{"x":[{},{"params":1}]}}]}', cuts=EVERY_BYTE)
@NO_DEADLINE
def test_a_body_split_anywhere_gives_the_same_lines(window: int, body: bytes, cuts: Sequence[int]) -> None:
    expected = read_whole(body)
    assert expected is not None
    with limits(WINDOW=window):
        assert read(chunks(body, cuts)) == expected
    assert all(line.count(b"\n") == 1 and msgspec.json.decode(line) for line in expected)


@given(body=bodies(names=[ESCAPED]), cuts=CUTS)
@NO_DEADLINE
def test_requests_with_escaped_keys_are_separated(body: bytes, cuts: Sequence[int]) -> None:
    expected = read_whole(body)
    assert expected is not None
    longest = max(map(len, expected))
    with limits(WINDOW=16, MAX_WINDOW=2 * longest + 100):
        assert read(chunks(body, cuts)) == expected


@given(body=bodies(), cuts=CUTS, kept=st.integers(0, 2**16), window=st.sampled_from([1, 64, create_body.WINDOW]))
@NO_DEADLINE
def test_a_body_truncated_anywhere_is_refused(body: bytes, cuts: Sequence[int], kept: int, window: int) -> None:
    cut_off = body[: kept % len(body.rstrip())]
    with limits(WINDOW=window), pytest.raises(RefusedError) as refused:
        read(chunks(cut_off, cuts))
    assert refused.value.kind == "invalid_request_error"


@given(
    body=bodies(),
    cuts=CUTS,
    place=st.integers(0, 2**16),
    byte=st.integers(0, 255) | st.sampled_from(b'{}[],:"\\ \n'),
    window=st.sampled_from([1, 64, create_body.WINDOW]),
)
@settings(NO_DEADLINE, max_examples=250)
def test_a_body_with_one_wrong_byte_is_refused_only_if_parsing_the_whole_fails(
    body: bytes, cuts: Sequence[int], place: int, byte: int, window: int
) -> None:
    wrong = bytearray(body)
    wrong[place % len(body)] = byte
    expected = read_whole(bytes(wrong))
    with limits(WINDOW=window):
        if expected is not None:
            assert read(chunks(bytes(wrong), cuts)) == expected
            return
        with pytest.raises(RefusedError):
            read(chunks(bytes(wrong), cuts))


def test_the_maximum_number_of_requests_is_read() -> None:
    assert len(read(body_of(b"{}", count=MAX_REQUESTS))) == MAX_REQUESTS


@pytest.mark.parametrize("more", [0, 1])
def test_a_request_of_exactly_the_maximum_size_is_accepted(more: int) -> None:
    params = b'{"x":"%b"}' % (b"a" * (MAX_REQUEST + more - len('{"x":""}')))
    pieces = body_of(params, count=2)
    if not more:
        assert [len(line) for line in read(pieces)] == [len(b'{"custom_id":"0","params":}\n') + MAX_REQUEST] * 2
        return
    with pytest.raises(RefusedError, match=r"requests\.0: one request may have at most") as refused:
        read(pieces)
    assert refused.value.kind == "request_too_large"


@pytest.mark.parametrize("before", [0, 1, 9])
@pytest.mark.parametrize("more", [1, 900, 1100, 4000])
@pytest.mark.parametrize("end", [b"]}", b" ]} ", b"]" + b" " * 3000 + b"}"])
@pytest.mark.parametrize("step", [100, 10_000])
def test_a_last_request_over_the_maximum_size_is_reported_as_such(
    before: int, more: int, end: bytes, step: int
) -> None:
    small = [b'{"custom_id":"%d","params":{}}' % number for number in range(before)]
    large = b'{"custom_id":"last","params":{"x":"%b"}}' % (b"a" * (1024 + more - len('{"x":""}')))
    body = b'{"requests":[' + b",".join((*small, large)) + end
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("WINDOW", 256), ("MAX_REQUEST", 1024), ("MAX_WINDOW", 2048)):
            patch.setattr(create_body, name, value)
        with pytest.raises(RefusedError) as refused:
            read(body[start : start + step] for start in range(0, len(body), step))
    message = f"requests.{before}: one request may have at most 1024 bytes"
    assert (refused.value.kind, refused.value.message) == ("request_too_large", message)


@pytest.mark.parametrize(
    "item",
    [
        pytest.param(b"1", id="no objects"),
        pytest.param(b'{"custom_id":"","params":{}}', id="malformed ids"),
        pytest.param(b'{"custom_id":"a","params":{}}', id="one id"),
        pytest.param(b'{"method":"POST","custom_id":"a","body":{}}', id="rows of another dialect"),
    ],
)
def test_a_body_full_of_errors_uses_little_memory(item: bytes) -> None:
    body = b'{"requests":[%b]}' % b",".join([item] * (3 * 2**20 // len(item)))
    tracemalloc.start()
    with pytest.raises(RefusedError) as refused:
        read([body[start : start + 65536] for start in range(0, len(body), 65536)])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert refused.value.message.count("requests.") >= MAX_PROBLEMS
    assert peak < 8 * len(body)


def test_reading_stops_early_in_a_body_full_of_errors() -> None:
    requests = itertools.chain([b'{"requests":['], itertools.repeat(b'{"custom_id":"","params":{}},' * 1000, 100))
    with pytest.raises(RefusedError):
        read(requests)
    assert next(requests)


@pytest.mark.parametrize(
    ("beginning", "message"),
    [
        pytest.param(b'{"custom_id":"a","params":{"x":[1,]}},', r"trailing comma in array \(byte 47\)", id="not JSON"),
        pytest.param(b'{"custom_id":"a","params":{}}],"x":[{},', "only the closing brace", id="more after the array"),
        pytest.param(b'{"custom_id":"a","params":1},', r"requests\.0\.params: it must be an object", id="no object"),
    ],
)
def test_an_error_at_the_beginning_is_reported_in_a_long_body(beginning: bytes, message: str) -> None:
    pieces = [b'{"requests":[', beginning, *body_of(b"{}", count=50)[1:]]
    with limits(WINDOW=16, MAX_WINDOW=256), pytest.raises(RefusedError, match=message) as refused:
        read(pieces)
    assert refused.value.kind == "invalid_request_error"


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b'"' + b'\\"' * 2**21, id="escapes"),
        pytest.param(b"[" + b"{}," * 2**20, id="objects"),
        pytest.param(b'{"a":' * 2**19, id="nested objects"),
        pytest.param(b"[" * 2**22, id="nested arrays"),
        pytest.param(b"[" + b'{"custom_id":"a","params":{}},' * 2**17, id="look-alikes"),
    ],
)
def test_a_request_without_an_end_takes_time_in_proportion_to_its_bytes(start: bytes) -> None:
    body = b'{"requests":[{"custom_id":"a","params":{"x":' + start
    decoder, valid = msgspec.json.Decoder(msgspec.Raw), b"[" + b"{}," * (len(body) // 3) + b"0]"
    pieces = [body[place : place + 2**16] for place in range(0, len(body), 2**16)]

    def refuse() -> None:
        with limits(MAX_REQUEST=2**21, MAX_WINDOW=2**21 + 2**16), pytest.raises(RefusedError):
            read(pieces)

    # Other processes make it up to 30 times; in proportion to the square it would be several hundred times.
    assert seconds_of(refuse) < 60 * seconds_of(lambda: decoder.decode(valid))


def seconds_of(work: Callable[[], object]) -> float:
    """Return the processor time that work takes, the smallest of five runs."""
    seconds = []
    for _ in range(5):
        begun = time.thread_time()
        work()
        seconds.append(time.thread_time() - begun)
    return min(seconds)


@pytest.mark.parametrize("before", [0, 1, 7])
def test_a_request_that_is_nested_too_deeply_is_named(before: int) -> None:
    deep = [b'{"custom_id":"deep","params":%b' % (b'{"x":' * 1000), *[b'{"x":' * 1000] * 9]
    pieces = [b'{"requests":[', *body_of(b"{}", count=before + 1)[1:-2], *deep]
    with limits(WINDOW=512, MAX_WINDOW=8192), pytest.raises(RefusedError) as refused:
        read(pieces)
    assert refused.value.message == f"requests.{before}: Invalid JSON: nested too deeply"


def test_trailing_white_space_is_accepted() -> None:
    assert len(read([*body_of(b"{}", count=2), b" " * 2 * create_body.MAX_HEAD])) == 2


def body_of(params: bytes, *, count: int) -> list[bytes]:
    """Return a body with this number of requests, in pieces."""
    requests = [b'{"custom_id":"%d","params":%b},' % (number, params) for number in range(count)]
    return [b'{"requests":[', *requests[:-1], requests[-1].removesuffix(b","), b"]}"]
