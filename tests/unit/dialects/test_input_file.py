"""The reader of input files finds every line that is wrong, in pieces of any size, and passes on the others."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from batchgate.engine.model.batch import InputFault
from batchgate.engine.model.provider_call import RowKind
from batchgate.engine.ports.body_readers import BatchFileReader
from batchgate.providers.dialects import input_file
from batchgate.providers.dialects.input_file import MAX_LINE_BYTES, MAX_REQUESTS, InputFileReader
from batchgate.providers.dialects.openai_rows import OpenAIRows
from tests.unit.dialects.openai_rows import Json

ROWS = OpenAIRows()
URL = "/v1/chat/completions"
BODY: Json = {"model": "m", "messages": []}
NOT_JSON = "This line is not parseable as valid JSON. "

Read = tuple[list[bytes], list[InputFault]]


def line(custom_id: Any = "a", *, without: str | None = None, **fields: Any) -> bytes:
    """Write a line, right but for what is given; without its end."""
    document = {"custom_id": custom_id, "method": "POST", "url": URL, "body": BODY} | fields
    return msgspec.json.encode({name: value for name, value in document.items() if name != without})


def read(pieces: Iterable[bytes], kind: RowKind = "chat_completions", *, has_default_model: bool = False) -> Read:
    reader: BatchFileReader = InputFileReader(kind, has_default_model=has_default_model)
    lines = [line for piece in pieces for part in reader.feed(piece) for line in part]
    lines += reader.finish()
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 and b"\r" not in line for line in lines)
    return lines, list(reader.faults)


def faults(*lines: bytes, **options: Any) -> list[InputFault]:
    return read([b"\n".join(lines) + b"\n"], **options)[1]


def fault(text: bytes, **options: Any) -> InputFault:
    """Give what is wrong with a line that stands between right ones."""
    (found,) = faults(line("before"), text, line("behind"), **options)
    assert found.line == 2
    return found


@contextmanager
def limits(**named: int) -> Iterator[None]:
    """Set limits of the reader, so that small files meet them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in named.items():
            patch.setattr(input_file, name, value)
        yield


def chunks(body: bytes, cuts: Sequence[int]) -> list[bytes]:
    """Cut a file at places that are taken modulo its length."""
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts), len(body)]
    return [body[start:end] for start, end in itertools.pairwise(places)]


# ---------------------------------------------------------------- what is right


def test_a_line_is_passed_on_with_its_custom_id_first_and_its_body_untouched() -> None:
    body = b'{ "model":"m" , "messages":[], "x":1.50, "y":"\\u00e4\\/" }'
    odd = b'{ "body" : %s ,"url":"%s","method":"POST","custom\\u005fid":"\\u0061" }' % (body, URL.encode())
    lines, found = read([odd])
    assert lines == [b'{"custom_id":"a","method":"POST","url":"%s","body":%s}\n' % (URL.encode(), body)]
    assert found == []


@pytest.mark.parametrize(
    "whole",
    [
        line("a") + b"\n" + line("b") + b"\n",
        line("a") + b"\n" + line("b"),
        b"\xef\xbb\xbf" + line("a") + b"\r\n" + line("b") + b"\r\n",
        b"\n\r\n \t\n" + line("a") + b"\n\n\n" + line("b") + b"\n \n\n",
        b"\xef\xbb\xbf\n  " + line("a") + b"\t \n\t" + line("b") + b" \r",
    ],
)
def test_what_is_harmless_is_made_even(whole: bytes) -> None:
    assert read([whole]) == ([line("a") + b"\n", line("b") + b"\n"], [])


def test_a_carriage_return_between_tokens_ends_no_line() -> None:
    (passed,), _ = read(
        [b'{"custom_id":"a",\r"method":"POST","url":"%s","body":{\r"model":"m","messages":[]}}' % URL.encode()]
    )
    assert ROWS.read(passed).params == b'{ "model":"m","messages":[]}'


@pytest.mark.parametrize(
    ("kind", "url", "content"),
    [
        ("responses", "/v1/responses", "input"),
        ("embeddings", "/v1/embeddings", "input"),
        ("completions", "/v1/completions", "prompt"),
    ],
)
def test_each_kind_has_its_url_and_needs_its_content(kind: RowKind, url: str, content: str) -> None:
    assert faults(line(url=url, body={"model": "m", content: "Hi"}), kind=kind) == []
    assert [wrong.code for wrong in faults(line(), kind=kind)] == ["invalid_url"]
    for body in ({"model": "m"}, {"model": "m", content: None}, {"model": "m", "messages": []}):
        (found,) = faults(line(url=url, body=body), kind=kind)
        assert (found.code, found.param) == ("missing_required_parameter", f"body.{content}")


@pytest.mark.parametrize("content", ["prompt", "conversation", "previous_response_id"])
def test_a_response_may_continue_from_something_else_than_an_input(content: str) -> None:
    assert faults(line(url="/v1/responses", body={"model": "m", content: {"id": "x"}}), kind="responses") == []


# ---------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("text", "code", "param", "message"),
    [
        (b"{", "invalid_json_line", None, NOT_JSON + "Input data was truncated."),
        (line() + b"x", "invalid_json_line", None, NOT_JSON + "Trailing characters (byte 98)."),
        (line() * 2, "invalid_json_line", None, NOT_JSON + "Trailing characters"),
        (b'{"custom_id":1,', "invalid_json_line", None, NOT_JSON),
        (line().replace(b'"m"', b'"\xff"'), "invalid_json_line", None, NOT_JSON + "It is not UTF-8."),
        (line().replace(b'"a"', b'"\xff"'), "invalid_json_line", None, NOT_JSON + "It is not UTF-8."),
        (line().replace(b'"m"', b'"\\ud83d"'), "invalid_json_line", None, NOT_JSON + "\\ud83d is a lone surrogate"),
        (b"[" * 100_000, "invalid_json_line", None, NOT_JSON),
        (b"\xef\xbb\xbf" + line(), "invalid_json_line", None, NOT_JSON),
        (b"[]", "invalid_request", None, "Input should be an object, not an array."),
        (line(more=1), "invalid_request", "more", "more: Extra inputs are not permitted."),
        (line(1), "invalid_request", "custom_id", "custom_id: Input should be a string, not an integer."),
        (line(method="GET"), "invalid_request", "method", "The method should be POST, not 'GET'."),
        (line(method=None), "invalid_request", "method", "method: Input should be a string, not null."),
        (
            line(url="/v1/videos"),
            "invalid_url",
            "url",
            f"The url should be {URL}, the endpoint of the batch, not '/v1/",
        ),
        (line(url=["/"]), "invalid_request", "url", "url: Input should be a string, not an array."),
        (line(body=[]), "invalid_request", "body", "body: Input should be an object, not an array."),
        (line(body=None), "invalid_request", "body", "body: Input should be an object, not null."),
        (
            line(body=BODY | {"stream": True}),
            "streaming_unsupported",
            "body.stream",
            "body.stream: batches do not stream",
        ),
        (line(body={"model": 1}), "invalid_request", "body.model", "body.model: Input should be a string"),
        (line(body={"messages": []}), "invalid_request", "body.model", "Missing required parameter: 'body.model'."),
        (
            line(body={"model": "m"}),
            "missing_required_parameter",
            "body.messages",
            "Missing required parameter: 'body.messages'.",
        ),
        (
            line(body={"model": "m", "messages": None}),
            "missing_required_parameter",
            "body.messages",
            "Missing required parameter: 'body.messages'.",
        ),
        (
            line(body={"model": "m", "input": "Hi"}),
            "missing_required_parameter",
            "body.messages",
            "Missing required parameter: 'body.messages'.",
        ),
        (
            line(without="custom_id"),
            "missing_required_parameter",
            "custom_id",
            "Missing required parameter: 'custom_id'.",
        ),
        (line(without="method"), "missing_required_parameter", "method", "Missing required parameter: 'method'."),
        (line(without="url"), "missing_required_parameter", "url", "Missing required parameter: 'url'."),
        (line(without="body"), "missing_required_parameter", "body", "Missing required parameter: 'body'."),
    ],
)
def test_a_line_that_is_wrong_is_named_with_what_is_wrong(
    text: bytes, code: str, param: str | None, message: str
) -> None:
    found = fault(text)
    assert (found.code, found.param) == (code, param)
    assert found.message.startswith(message)


def test_a_model_of_the_batch_stands_in_for_one_that_is_missing() -> None:
    assert faults(line(body={"messages": []}), has_default_model=True) == []
    assert [wrong.param for wrong in faults(line(body={"model": None}), has_default_model=True)] == ["body.model"]


@pytest.mark.parametrize(
    ("models", "default", "common"),
    [
        (["m", "m"], None, "m"),
        (["m", "m"], "d", "m"),
        (["m", "n"], None, None),
        (["m", "n", "m"], None, None),
        (["a/m", "m"], None, None),
        ([None, None], "d", "d"),
        (["d", None], "d", "d"),
        (["m", None], "d", None),
        (["\u00e9", "\u00e9"], None, "\u00e9"),
    ],
)
def test_the_model_of_a_file_is_the_one_of_all_its_requests(
    models: list[str | None], default: str | None, common: str | None
) -> None:
    reader = InputFileReader("chat_completions", has_default_model=default is not None)
    bodies: list[Json] = [{"messages": []} | ({} if model is None else {"model": model}) for model in models]
    for _ in reader.feed(b"".join(line(f"{n}", body=body) + b"\n" for n, body in enumerate(bodies))):
        pass
    reader.finish()
    assert not reader.faults
    assert reader.common_model(default) == common


def test_the_prefixes_of_models_are_known_by_their_first_line() -> None:
    reader = InputFileReader("chat_completions")
    models = ["m", "a/m", "b/n", "a/n", "c/"]
    for _ in reader.feed(
        b"".join(line(f"{n}", body=BODY | {"model": model}) + b"\n" for n, model in enumerate(models))
    ):
        pass
    assert reader.model_prefixes == {"a": 2, "b": 3, "c": 5}


def test_streams_that_are_none_pass() -> None:
    assert faults(line("a", body=BODY | {"stream": False}), line("b", body=BODY | {"stream": None})) == []


def test_an_empty_custom_id_is_no_name() -> None:
    assert [(wrong.code, wrong.param) for wrong in faults(line(""), line(""))] == [("invalid_request", "custom_id")] * 2


@pytest.mark.parametrize("custom_id", ["a", "ü" * 1000])
def test_a_custom_id_that_was_there_before_is_named_with_its_first_line(custom_id: str) -> None:
    first, second = line(custom_id, body=BODY), b"\n" + line(custom_id)
    (found,) = faults(b"", first, second)
    assert (found.line, found.code, found.param) == (4, "duplicate_custom_id", "custom_id")
    assert "already used in line 2" in found.message
    assert len(found.message) < 400


def test_a_line_that_is_wrong_in_itself_has_its_custom_id_all_the_same() -> None:
    for wrong in (line(more=1), line(method="GET"), line(body={})):
        assert [(found.line, found.code) for found in faults(wrong, line())][1:] == [(2, "duplicate_custom_id")]


def test_every_line_that_is_wrong_is_found_and_none_is_passed_on_after_the_first() -> None:
    lines, found = read([b"\n".join([line("a"), b"{", line("b"), b"[]", b"", line("a"), line("c"), line(body={})])])
    assert lines == [line("a") + b"\n"]
    assert [wrong.line for wrong in found] == [2, 4, 6, 8]


@pytest.mark.parametrize("whole", [b"", b"\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n \n\n"])
def test_a_file_without_a_line_is_empty(whole: bytes) -> None:
    lines, found = read([whole])
    assert (lines, [(wrong.code, wrong.line) for wrong in found]) == ([], [("empty_file", None)])


def test_a_file_of_wrong_lines_is_not_empty() -> None:
    assert [wrong.code for wrong in faults(b"{")] == ["invalid_json_line"]


def test_more_requests_than_a_batch_may_have_are_hopeless() -> None:
    reader = InputFileReader("chat_completions")
    allowed = b"\n\n".join(line(f"{n}") for n in range(MAX_REQUESTS)) + b"\n\n"
    assert sum(len(part) for part in reader.feed(allowed)) == MAX_REQUESTS
    assert (reader.faults, reader.over_limit) == ([], False)
    assert list(reader.feed(line("more") + b"\n{\n")) == []
    assert reader.over_limit
    assert reader.finish() == []
    assert [(wrong.code, wrong.line) for wrong in reader.faults] == [("too_many_tasks", None)]
    assert f"more than {MAX_REQUESTS} requests" in reader.faults[0].message


def test_a_line_that_is_too_large_is_refused_and_never_held() -> None:
    piece = b" " * 2**20
    reader = InputFileReader("chat_completions")
    tracemalloc.start()
    for data in (line("a"), b"\n", *[piece] * 100, b"{}\n", line("a")):
        for _ in reader.feed(data):
            pass
    reader.finish()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert [(wrong.line, wrong.code) for wrong in reader.faults] == [
        (2, "request_too_large"),
        (3, "duplicate_custom_id"),
    ]
    assert f"{MAX_LINE_BYTES} bytes" in reader.faults[0].message
    assert peak < MAX_LINE_BYTES + 2**20


def test_what_a_caller_wrote_is_repeated_in_part_only() -> None:
    endless = "x" * 100_000
    for wrong in (line(more=1).replace(b"more", endless.encode()), line(url=endless), line(method=endless)):
        (found,) = faults(wrong)
        assert len(found.message) + len(found.param or "") < 800


# ---------------------------------------------------------------- pieces of any size

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | TEXTS
    | st.sampled_from(['"},{"custom_id":"a"', "\\", "\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
BODIES = st.dictionaries(TEXTS, VALUES, max_size=3).map(lambda fields: fields | {"model": "m", "messages": []})
BLANKS = st.sampled_from([b"", b" ", b"\r", b"\t \r"])
CUTS = st.lists(st.integers(0, 2**16), max_size=12)
WRONG = st.sampled_from(
    [
        b"{",
        b"[]",
        b"\xff",
        b'{"custom_id":"a"}',
        line("a", body={}),
        line("b", url="/"),
        line("c") + b"\xc3",
        b"x" * 400,
    ]
)


@st.composite
def right_lines(draw: st.DrawFn) -> bytes:
    fields = [("custom_id", draw(TEXTS)), ("method", "POST"), ("url", URL), ("body", draw(BODIES))]
    return msgspec.json.encode(dict(draw(st.permutations(fields))))


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """Write a file in one of the many ways to write it, with lines that are wrong."""
    lines = draw(st.lists(st.one_of(right_lines(), right_lines(), WRONG, BLANKS), max_size=8))
    framed = [draw(BLANKS) + text + draw(BLANKS) for text in lines]
    return draw(st.sampled_from([b"", b"\xef\xbb\xbf"])) + b"\n".join(framed) + draw(st.sampled_from([b"", b"\n"]))


@settings(deadline=None)
@given(whole=files(), cuts=CUTS, step=st.integers(1, 400), longest=st.sampled_from([300, MAX_LINE_BYTES]))
def test_pieces_of_any_size_give_the_same_lines_and_faults(
    whole: bytes, cuts: Sequence[int], step: int, longest: int
) -> None:
    with limits(MAX_LINE_BYTES=longest):
        expected = read([whole])
        with limits(READ_BYTES=step):
            assert read(chunks(whole, cuts)) == expected
        assert read(whole[place : place + 1] for place in range(len(whole))) == expected
    numbers = [wrong.line for wrong in expected[1] if wrong.line is not None]
    assert numbers == sorted(set(numbers))


@settings(deadline=None)
@given(rows=st.dictionaries(TEXTS.filter(bool), BODIES, min_size=1, max_size=6), cuts=CUTS)
def test_the_rows_that_are_read_again_are_those_of_the_file(rows: dict[str, Json], cuts: Sequence[int]) -> None:
    whole = b"\r\n".join(line(custom_id, body=body) for custom_id, body in rows.items())
    lines, found = read(chunks(whole, cuts))
    assert found == []
    again = [ROWS.read(passed) for passed in lines]
    assert [(row.custom_id, row.params) for row in again] == [
        (custom_id, msgspec.json.encode(body)) for custom_id, body in rows.items()
    ]
    assert [ROWS.custom_id(passed) for passed in lines] == list(rows)
