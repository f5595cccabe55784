"""Log lines contain only the allowed fields, are single lines, and never fail to format."""

import json
import logging
import re
from typing import Any

import pytest

from batchgate.engine.model.errors import StoreError
from batchgate.engine.ports.telemetry import HTTP_REQUEST_ID, LogEntry
from batchgate.telemetry.log_lines import JsonLines, TextLines, format_safely


def record(message: str = "it is %s", *values: object, **fields: object) -> logging.LogRecord:
    log_record = logging.LogRecord("here", logging.WARNING, __file__, 1, message, values or ("so",), None)
    log_record.__dict__.update(fields)
    return log_record


def line(log_record: logging.LogRecord) -> dict[str, Any]:
    text = JsonLines().format(log_record)
    assert "\n" not in text
    decoded = json.loads(text)
    assert isinstance(decoded, dict)
    return decoded


def test_a_line_has_its_time_level_logger_action_and_message() -> None:
    log_record = record(created=0.25)
    assert line(log_record) == {
        "time": "1970-01-01T00:00:00.250+00:00",
        "level": "warning",
        "logger": "here",
        "action": "log",
        "message": "it is so",
    }


def test_only_allowed_fields_are_written() -> None:
    written = line(record(action="batch_ended", batch="msgbatch_01", prompt="secret", headers={"x-api-key": "secret"}))
    assert (written["action"], written["batch"]) == ("batch_ended", "msgbatch_01")
    assert "secret" not in str(written)


def test_a_record_has_the_id_of_its_http_request_unless_it_sets_its_own() -> None:
    token = HTTP_REQUEST_ID.set("req_1")
    try:
        assert line(record())["request_id"] == "req_1"
        assert line(record(request_id="req_2"))["request_id"] == "req_2"
    finally:
        HTTP_REQUEST_ID.reset(token)
    assert "request_id" not in line(record())


@pytest.mark.parametrize("value", ["two\nlines", "half a pair: \ud800", "\x00", {1, 2}, object])
def test_any_value_is_logged_as_one_line_of_json(value: object) -> None:
    assert line(record("%s", value, model=value))["message"] == str(value)


def test_a_line_of_text_ends_with_its_fields_and_repeats_nothing() -> None:
    fields = {"action": "batch_ended", "batch": "msgbatch_01", "workspace": "team", "shard": 0, "seconds": 1.5}
    written = TextLines().format(record("batch ended%s", "", **fields, headers="secret", counts={"a": 3, "b": 0}))
    assert written.endswith(" WARNING here: batch ended workspace=team batch=msgbatch_01 shard=0 counts=a:3")


def test_a_name_chosen_by_a_caller_cannot_imitate_another_field_or_line() -> None:
    written = TextLines().format(record(custom_id="a batch=b", model='x"\n\ud800', account="", file=None))
    assert written.endswith(r' custom_id="a batch=b" account="" model="x\"\n\ud800"')
    assert "\n" not in written


def test_a_line_of_text_has_the_id_of_its_http_request_and_its_trace_below() -> None:
    token = HTTP_REQUEST_ID.set("req_1")
    try:
        log_record, error = record(), raised(OSError("a disk"))
        log_record.exc_info = (type(error), error, error.__traceback__)
        first, *below = TextLines().format(log_record).splitlines()
    finally:
        HTTP_REQUEST_ID.reset(token)
    assert first.endswith("it is so request_id=req_1")
    assert below[-1] == "OSError: a disk"


@pytest.mark.parametrize("lines", [JsonLines(), TextLines()], ids=["json", "text"])
def test_each_entry_of_a_record_is_a_line_with_its_time_and_allowed_fields(lines: logging.Formatter) -> None:
    entries = [LogEntry(0.25 + n, f"it is {n}", {"batch": f"b{n}", "prompt": "secret"}) for n in (1, 2)]
    written = lines.format(record(log_entries=entries)).splitlines()
    assert len(written) == 2
    for n, text in enumerate(written, start=1):
        assert f"it is {n}" in text
        assert f"b{n}" in text
        assert re.search(rf":0{n}[.,]250", text)
        assert "it is so" not in text
        assert "secret" not in text


def raised(error: Exception) -> Exception:
    def fail() -> None:
        raise error

    try:
        fail()
    except Exception as caught:  # noqa: BLE001
        return caught
    raise AssertionError


def test_an_unexpected_exception_is_shown_with_type_and_traceback_without_its_message() -> None:
    shown = format_safely(raised(ValueError("the prompt")))
    assert "ValueError" in shown
    assert "in fail" in shown
    assert "the prompt" not in shown


def test_messages_of_the_operating_system_and_of_storage_are_shown() -> None:
    assert "OSError: [Errno 28] No space left on device" in format_safely(
        raised(OSError(28, "No space left on device"))
    )
    assert "StoreError: database is locked" in format_safely(raised(StoreError("database is locked")))


def test_causes_and_members_of_a_group_follow_the_same_rule() -> None:
    outer = raised(RuntimeError("the prompt"))
    outer.__cause__ = raised(KeyError("the prompt"))
    shown = format_safely(raised(ExceptionGroup("the prompt", [outer, OSError("a disk")])))
    assert [name in shown for name in ("ExceptionGroup", "RuntimeError", "KeyError", "OSError: a disk")] == [True] * 4
    assert "the prompt" not in shown


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()])
def test_both_formats_follow_this_rule(formatter: logging.Formatter) -> None:
    log_record, error = record(), raised(LookupError("the prompt"))
    log_record.exc_info = (type(error), error, error.__traceback__)
    written = formatter.format(log_record)
    assert "LookupError" in written
    assert "the prompt" not in written
