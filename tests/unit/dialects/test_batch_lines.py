"""Rows are read from input lines and written as result lines, in both dialects (batch-apis 1.6 and 4.3)."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgate.engine.model.errors import (
    STATUSES,
    ErrorKind,
    NoUpstreamAnswer,
    RequestError,
    Untranslatable,
    UpstreamError,
    UpstreamUnreachable,
)
from batchgate.engine.ports.rows import RowFormat, RowOutcome
from batchgate.providers.dialects.anthropic_rows import AnthropicRows
from batchgate.providers.dialects.openai_rows import OpenAIRows
from batchgate.providers.dialects.result_lines import anthropic_result_line, openai_result_line
from batchgate_api.openai_rows import BatchOutputLine
from tests.unit.dialects.openai_rows import Json, message

OPENAI, ANTHROPIC = OpenAIRows(), AnthropicRows()
UNREACHABLE = UpstreamUnreachable("api_error", "u", status=0, retry_safe=True)
NASTY = 'a","method":"POST","response":{"status_code":200}\n\\ü\u2028'
TEXTS = st.text(st.characters(codec="utf-8"))


def input_line(body: bytes, custom_id: str = "a") -> bytes:
    written = msgspec.json.encode(custom_id)
    return b'{"custom_id":%s,"method":"POST","url":"/v1/responses","body":%s}\n' % (written, body)


def params_line(params: bytes) -> bytes:
    return b'{"custom_id":"a","params":%s}\n' % params


def decoded(line: bytes) -> Json:
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    msgspec.json.decode(line, type=BatchOutputLine)
    document: Json = msgspec.json.decode(line)
    assert document["id"].startswith("batch_req_")
    return document


def refused(error: RequestError) -> tuple[Any, Any]:
    line = decoded(OPENAI.errored_line("a", error))
    return line["response"], line["error"]


# ---------------------------------------------------------------- input


@given(custom_id=TEXTS)
def test_a_custom_id_may_be_any_text(custom_id: str) -> None:
    line = input_line(b'{"model":"m"}', custom_id)
    assert OPENAI.custom_id(line) == OPENAI.read(line).custom_id == custom_id
    assert decoded(OPENAI.succeeded_line(custom_id, b"{}"))["custom_id"] == custom_id


def test_a_custom_id_is_known_whatever_the_rest_of_its_line_is() -> None:
    assert OPENAI.custom_id(b'{"custom_id":"a\\"b","method":"POST",\xff') == 'a"b'


BODY = b'{ "input" : 1.50, "model":"m" , "custom_id":"x"}'


@pytest.mark.parametrize(("rows", "line"), [(OPENAI, input_line(BODY)), (ANTHROPIC, params_line(BODY))])
def test_a_request_with_a_model_stays_byte_for_byte(rows: RowFormat, line: bytes) -> None:
    row = rows.read(line, "other")
    assert (row.custom_id, row.params, row.model) == ("a", BODY, "m")


@pytest.mark.parametrize(
    ("body", "params"),
    [
        (b'{"input":1.50}', b'{"model":"d\\"","input":1.50}'),
        (b'{ "input" : {"model":1}}', b'{"model":"d\\"", "input" : {"model":1}}'),
        (b"{ }", b'{"model":"d\\"" }'),
    ],
)
def test_a_request_without_a_model_gets_that_of_the_batch_as_its_first_field(body: bytes, params: bytes) -> None:
    for rows, line in ((OPENAI, input_line(body)), (ANTHROPIC, params_line(body))):
        row = rows.read(line, 'd"')
        assert (row.params, row.model) == (params, 'd"')


@pytest.mark.parametrize(
    ("line", "default", "message"),
    [
        (input_line(b"{}"), None, "body.model: Field required"),
        (input_line(b'{"model":null}'), "d", "body.model: Input should be a string, not null"),
        (input_line(b"[]"), "d", "body: Input should be an object, not an array"),
        (b'{"custom_id":"a"}\n', "d", "body: Field required"),
    ],
)
def test_a_line_that_cannot_be_run_names_the_field(line: bytes, default: str | None, message: str) -> None:
    with pytest.raises(RequestError) as caught:
        OPENAI.read(line, default)
    assert (caught.value.kind, caught.value.message) == ("invalid_request_error", message)


def test_params_without_a_model_are_refused_by_the_same_name_as_ever() -> None:
    with pytest.raises(RequestError, match=r"^model: Field required$"):
        ANTHROPIC.read(params_line(b"{}"))


# ---------------------------------------------------------------- results


def test_an_answer_stands_in_its_line_as_it_came() -> None:
    answer = b'{ "a" : 1.50,"b":"\\u00e4"}'
    line = OPENAI.succeeded_line("a", answer)
    assert b'"body":%s}' % answer in line
    document = decoded(line)
    assert document["response"] == {"status_code": 200, "request_id": None, "body": {"a": 1.5, "b": "ä"}}
    assert document["error"] is None


def test_every_line_has_an_id_of_its_own() -> None:
    lines = [OPENAI.succeeded_line("a", b"{}") for _ in range(100)]
    assert len({decoded(line)["id"] for line in lines}) == 100


def test_what_the_provider_refused_keeps_its_words_its_status_and_its_request_id() -> None:
    error = UpstreamError(
        "invalid_request_error",
        "No such thing.",
        status=404,
        retry_safe=False,
        request_id="req_1",
        provider_type="odd_error",
        provider_param="messages[0]",
        provider_code="model_not_found",
    )
    error_body = {"message": "No such thing.", "type": "odd_error", "param": "messages[0]", "code": "model_not_found"}
    assert refused(error) == ({"status_code": 404, "request_id": "req_1", "body": {"error": error_body}}, None)


def test_a_provider_without_a_word_for_the_type_gets_ours() -> None:
    response, _ = refused(UpstreamError("api_error", "No.", status=500, retry_safe=True))
    assert response["body"]["error"] == {"message": "No.", "type": "api_error", "param": None, "code": None}


@pytest.mark.parametrize(
    ("error", "status", "param", "code"),
    [
        (RequestError("not_found_error", "no account"), 404, None, None),
        (Untranslatable("top_k", "not here"), 400, "top_k", "untranslatable"),
    ],
)
def test_what_the_gateway_refused_has_the_status_of_its_class(
    error: RequestError, status: int, param: str | None, code: str | None
) -> None:
    response, _ = refused(error)
    error_body = {"message": error.message, "type": error.kind, "param": param, "code": code}
    assert response == {"status_code": status, "request_id": None, "body": {"error": error_body}}


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NoUpstreamAnswer("timeout_error", "too slow", status=0, retry_safe=True), "request_timeout"),
        (UpstreamUnreachable("api_error", "no connection", status=0, retry_safe=True), "provider_unreachable"),
        (NoUpstreamAnswer("api_error", "no Message", status=200, retry_safe=True), "unusable_answer"),
        (UpstreamError("api_error", "it points elsewhere", status=302, retry_safe=False), "unusable_answer"),
    ],
)
def test_where_no_answer_came_there_is_a_code_and_no_response(error: UpstreamError, code: str) -> None:
    assert refused(error) == (None, {"code": code, "message": error.message})


@pytest.mark.parametrize(("ending", "code"), [("expired", "batch_expired"), ("canceled", "batch_cancelled")])
def test_a_request_that_was_never_answered_has_the_code_for_it(ending: Any, code: str) -> None:
    line = decoded(OPENAI.unfinished_line(NASTY, ending))
    assert (line["custom_id"], line["response"], line["error"]["code"]) == (NASTY, None, code)


@pytest.mark.parametrize("kind", STATUSES)
def test_a_refusal_of_the_gateway_is_of_the_same_class_in_anthropics_dialect(kind: Any) -> None:
    line = OPENAI.errored_line("a", RequestError(kind, "No."))
    result = msgspec.json.decode(anthropic_result_line(line, kind="chat_completions"))["result"]
    assert result["error"]["error"] == {"type": kind, "message": "No."}


LOOK_ALIKES = ('{"type":"succeeded"}', '","response":{"status_code":200,"result":{"type":"succeeded"')
ERRORS = st.one_of(
    st.builds(RequestError, st.sampled_from(list(STATUSES)), TEXTS | st.sampled_from(LOOK_ALIKES)),
    st.builds(
        lambda status, text: UpstreamError("api_error", text, status=status, retry_safe=False, provider_code=text),
        st.integers(0, 999),
        TEXTS | st.sampled_from(LOOK_ALIKES),
    ),
)


@given(custom_id=TEXTS | st.sampled_from(LOOK_ALIKES), answer=st.dictionaries(TEXTS, TEXTS), error=ERRORS)
def test_only_the_line_of_an_answer_is_one(custom_id: str, answer: Json, error: RequestError) -> None:
    message = msgspec.json.encode(answer | {"error": {}, "response": None, "status_code": 400})
    assert OPENAI.is_success(OPENAI.succeeded_line(custom_id, message))
    assert ANTHROPIC.is_success(ANTHROPIC.succeeded_line("a", message))
    for rows in (OPENAI, ANTHROPIC):
        assert not rows.is_success(rows.errored_line(custom_id, error))
        assert not rows.is_success(rows.unfinished_line(custom_id, "expired"))
        assert not rows.is_success(rows.unfinished_line(custom_id, "canceled"))


SEPARATORS = "a\u2028b\u2029c\u0085d\n"


def test_translated_result_lines_have_no_characters_that_readers_take_for_line_ends() -> None:
    body = msgspec.json.encode(message({"type": "text", "text": SEPARATORS}))
    anthropic = b'{"custom_id":"c","result":{"type":"succeeded","message":%s}}\n' % body
    openai = openai_result_line(anthropic, kind="chat_completions", created=1)
    back = anthropic_result_line(openai, kind="chat_completions")
    for line in (openai, back):
        assert len(line.decode().splitlines()) == 1
        assert SEPARATORS in _texts(msgspec.json.decode(line))


@pytest.mark.parametrize("custom_id", ["a\u2028", "\u0085b", "é\u2029"])
def test_every_openai_result_line_is_one_line_for_every_reader(custom_id: str) -> None:
    answer = msgspec.json.encode({"text": SEPARATORS})
    lines = [
        OPENAI.succeeded_line(custom_id, answer),
        OPENAI.errored_line(custom_id, RequestError("api_error", SEPARATORS)),
        OPENAI.unfinished_line(custom_id, "expired"),
    ]
    for line in lines:
        assert len(line.decode().splitlines()) == 1
        assert msgspec.json.decode(line)["custom_id"] == custom_id


def _texts(value: object) -> list[str]:
    """Return every text of a document."""
    match value:
        case str():
            return [value]
        case dict():
            return [text for inner in value.values() for text in _texts(inner)]
        case list():
            return [text for inner in value for text in _texts(inner)]
        case _:
            return []


# ---------------------------------------------------------------- retries


@pytest.mark.parametrize("rows", [OPENAI, ANTHROPIC])
@pytest.mark.parametrize("kind", list(STATUSES))
def test_a_result_line_tells_the_class_of_its_error(rows: RowFormat, kind: ErrorKind) -> None:
    line = rows.errored_line("a", UpstreamError(kind, "No.", status=STATUSES[kind], retry_safe=False))
    assert rows.outcome(line) == RowOutcome("a", kind)
    assert rows.outcome(rows.errored_line("a", RequestError(kind, "No."))) == RowOutcome("a", kind)


@pytest.mark.parametrize("rows", [OPENAI, ANTHROPIC])
def test_a_result_line_tells_how_its_request_ended(rows: RowFormat) -> None:
    assert rows.outcome(rows.succeeded_line("a", b'{"error":{}}')) == RowOutcome("a", None)
    assert rows.outcome(rows.unfinished_line("a", "canceled")) == RowOutcome("a", "canceled")
    assert rows.outcome(rows.unfinished_line("a", "expired")) == RowOutcome("a", "expired")


def test_an_error_without_a_response_has_the_class_that_anthropics_format_gives_it() -> None:
    for error in (NoUpstreamAnswer("timeout_error", "t", status=0, retry_safe=True), UNREACHABLE):
        line = OPENAI.errored_line("a", error)
        translated = anthropic_result_line(line, kind="chat_completions")
        assert OPENAI.outcome(line) == ANTHROPIC.outcome(translated)


@pytest.mark.parametrize(("rows", "line"), [(OPENAI, input_line(BODY)), (ANTHROPIC, params_line(BODY))])
def test_another_model_leaves_the_other_fields_byte_for_byte(rows: RowFormat, line: bytes) -> None:
    changed = rows.change_model(line, lambda model: f"{model}-2")
    assert changed.endswith(b"\n")
    row = rows.read(changed)
    assert (row.custom_id, row.model, row.params) == ("a", "m-2", b'{"input":1.50,"model":"m-2","custom_id":"x"}')
    assert rows.change_model(line, lambda model: model) == line


@pytest.mark.parametrize("body", [b'{"input":1}', b"[]", b"1"])
def test_a_request_without_a_model_gets_none(body: bytes) -> None:
    assert OPENAI.change_model(input_line(body), lambda _: "x") == input_line(body)


def test_a_model_that_is_no_text_is_replaced() -> None:
    assert OPENAI.change_model(input_line(b'{"model":7}'), lambda _: "x") == input_line(b'{"model":"x"}')


def test_a_request_to_a_providers_own_url_keeps_its_model() -> None:
    line = b'{"custom_id":"a","method":"POST","url":"/v1/predictions","body":{"version":"v","model":"m"}}\n'
    assert OPENAI.change_model(line, lambda _: "x") == line
