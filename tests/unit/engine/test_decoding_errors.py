"""Decoding errors are described with the wording of the Messages API."""

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta, Struct

from batchgate.engine.model.decoding_errors import (
    DECODING_ERRORS,
    DocumentFault,
    describe_decoding_error,
    describe_validation_error,
)


class _Inner(Struct, forbid_unknown_fields=True, tag_field="role", tag="user"):
    content: str | list[int]


class _Other(Struct, forbid_unknown_fields=True, tag_field="role", tag="assistant"):
    content: str


class _Body(Struct, forbid_unknown_fields=True):
    messages: list[_Inner | _Other]
    name: Annotated[str, Meta(min_length=1, max_length=3, pattern="^[a-z]+$")] = "a"
    count: Annotated[int, Meta(ge=1, le=9)] = 1
    part: Annotated[float, Meta(lt=5)] = 1
    items: Annotated[list[int], Meta(min_length=1)] = msgspec.field(default_factory=lambda: [1])
    notes: dict[str, int] = {}
    keys: dict[Literal["x"], int] = {}
    tier: Literal["auto", "none"] = "auto"
    flag: bool | None = None


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        # The first two are the API's own wording, as in facts/batch-apis.md 1.7; 1.2 and 1.3 have the lengths.
        ("{}", "messages: Field required"),
        ('{"messages":[],"foo":1}', "foo: Extra inputs are not permitted"),
        ('{"messages":[],"name":"abcd"}', "name: String should have at most 3 characters"),
        ('{"messages":[],"name":"1"}', "name: String should match pattern '^[a-z]+$'"),
        ('{"messages":[],"count":10}', "count: Input should be less than or equal to 9"),
        ('{"messages":[],"name":""}', "name: String should have at least 1 character"),
        ('{"messages":[],"count":0}', "count: Input should be greater than or equal to 1"),
        ('{"messages":[],"part":6}', "part: Input should be less than 5"),
        ('{"messages":[],"items":[]}', "items: List should have at least 1 item"),
        ('{"messages":[{"role":"user","content":"a","x":1}]}', "messages.0.x: Extra inputs are not permitted"),
        ('{"messages":[{"role":"user"}]}', "messages.0.content: Field required"),
        ('{"messages":[{"content":"a"}]}', "messages.0.role: Field required"),
        ('{"messages":[{"role":"tool"}]}', "messages.0.role: Input should be one of the known values, not 'tool'"),
        ('{"messages":[{"role":1}]}', "messages.0.role: Input should be a string"),
        (
            '{"messages":[{"role":"user","content":1}]}',
            "messages.0.content: Input should be a string or an array, not an integer",
        ),
        (
            '{"messages":[{"role":"user","content":["a"]}]}',
            "messages.0.content.0: Input should be an integer, not a string",
        ),
        ('{"messages":null}', "messages: Input should be an array, not null"),
        ('{"messages":[],"tier":"q"}', "tier: Input should be one of the known values, not 'q'"),
        ('{"messages":[],"notes":{"a":"b"}}', "notes.*: Input should be an integer, not a string"),
        ('{"messages":[],"keys":{"a":1}}', "keys: Input should be one of the known values, not 'a'"),
        ('{"messages":[],"flag":1}', "flag: Input should be a boolean or null, not an integer"),
        ("[]", "Input should be an object, not an array"),
        ('{"messages":[],"a - at `$.name`":1}', "a - at `$.name`: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_document_is_described_by_path_and_message(body: str, problem: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(body, type=_Body)
    assert str(describe_validation_error(caught.value)) == problem


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"messages":nul}', "Invalid JSON: invalid character (byte 16)"),
        (b'{"messages":[', "Invalid JSON: Input data was truncated"),
        (b'{"name":"\xff"}', "Invalid JSON: a string is not UTF-8"),
        (b"{}", "messages: Field required"),
    ],
)
def test_bytes_that_do_not_decode_are_described(body: bytes, problem: str) -> None:
    assert str(_failure(body, _Body)) == problem


def test_json_that_is_nested_too_deeply_is_described() -> None:
    assert str(_failure(b"[" * 100_000, object)) == "Invalid JSON: nested too deeply"


def _failure(body: bytes, expected: type) -> DocumentFault:
    try:
        msgspec.json.decode(body, type=expected)
    except DECODING_ERRORS as error:
        return describe_decoding_error(error)
    raise AssertionError(body)


def test_a_fault_can_be_placed_in_a_larger_document() -> None:
    assert str(DocumentFault("role", "no").with_prefix("messages.0")) == "messages.0.role: no"
    assert str(DocumentFault("", "no").with_prefix("tools.1")) == "tools.1: no"
