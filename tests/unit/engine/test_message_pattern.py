"""Messages that differ only in numbers, ids, times, quoted texts and queries of URLs have one pattern."""

from __future__ import annotations

import string
import timeit
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from batchgate.engine.model.message_pattern import MAX_PATTERN, pattern_of

WORDS = st.text(string.ascii_letters, min_size=1, max_size=12).filter(lambda word: word not in {"Z", "UTC", "GMT"})
SENTENCES = st.lists(WORDS, min_size=1, max_size=8).map(" ".join)
NUMBERS = st.one_of(
    st.integers(0, 10**12).map(str),
    st.integers(0, 10**9).map("{:,}".format),
    st.floats(0, 10**6, allow_nan=False).map("{:.2f}".format),
)
IDS = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda uuid: uuid.hex),
    st.binary(min_size=20, max_size=24).map(lambda data: f"req_{data.hex()}"),
    st.integers(2**60, 2**64 - 1).map("0x{:016x}".format),
)
TIMES = st.datetimes(datetime(2000, 1, 1), datetime(2099, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
    lambda moment: moment.isoformat(timespec="milliseconds")
)
TEXTS = st.lists(WORDS, min_size=2, max_size=9).map(lambda words: f'"{" ".join(words)}"')
URLS = st.lists(WORDS, min_size=1, max_size=3).map(lambda words: f"https://example.com/help?{'&'.join(words)}")


@pytest.mark.parametrize(
    ("message", "pattern"),
    [
        ("Rate limit of org-Xk29fJ3mQz81 reached: 512 of 500", "Rate limit of <id> reached: <n> of <n>"),
        (
            "This model's maximum context length is 8,192 tokens; you requested 9011.",
            "This model's maximum context length is <n> tokens; you requested <n>.",
        ),
        ("messages.17.content.0.text: too long", "messages.<n>.content.<n>.text: too long"),
        ("Invalid 'messages[3].content[0]'", "Invalid 'messages[<n>].content[<n>]'"),
        ("the model 'gpt-4o' does not exist", "the model 'gpt-4o' does not exist"),
        ("llama-3.1-8b, gpt-4.1 and o3 are full", "llama-3.1-8b, gpt-4.1 and o3 are full"),
        ("model: claude-3-5-sonnet-20241022", "model: claude-3-5-sonnet-<n>"),
        ('the text "two words" is too long', 'the text "<value>" is too long'),
        ("we don't take `a, b` and can't say why", "we don't take `<value>` and can't say why"),
        ("`max_tokens` is missing", "`max_tokens` is missing"),
        ("see https://example.com/errors?trace=81f#top", "see https://example.com/errors?<query>"),
        ("try again at 2026-10-21T07:28:00Z or in 1m30.5s", "try again at <time> or in <n>m<n>s"),
        ("10.0.0.1:8080 is full (99.5%)", "<n>:<n> is full (<n>%)"),
        ("request_too_large: file_not_found", "request_too_large: file_not_found"),
        ("trace-AbCdEfGhIj and req_011CSHoEeqs5C35K2UUrZ5Qy", "<id> and <id>"),
        ("two\nlines \t and a\0 zero", "two lines and a zero"),
        ("", ""),
    ],
)
def test_a_message_has_this_pattern(message: str, pattern: str) -> None:
    assert pattern_of(message) == pattern


@pytest.mark.parametrize("varied", [NUMBERS, IDS, TIMES, TEXTS, URLS])
@given(data=st.data())
def test_what_differs_between_requests_does_not_matter(varied: st.SearchStrategy[str], data: st.DataObject) -> None:
    before, after = data.draw(SENTENCES), data.draw(SENTENCES)
    patterns = {pattern_of(f"{before} {data.draw(varied)}: {after}") for _ in range(2)}
    assert len(patterns) == 1
    (pattern,) = patterns
    assert "<" in pattern
    assert pattern.startswith(before)
    assert pattern.endswith(after)


@given(SENTENCES)
def test_words_stay_as_they_are(sentence: str) -> None:
    assert pattern_of(sentence) == sentence


@given(st.text(max_size=2000))
@example("1" * 1000)
@example("'" * 999)
@example("-" * 999 + "1")
@example("http://a?" * 200)
@example("\ud800")
def test_any_text_has_a_short_pattern_of_one_line_without_long_numbers(message: str) -> None:
    pattern = pattern_of(message)
    assert len(pattern) <= MAX_PATTERN
    assert pattern.isprintable()
    assert not any(run.isdecimal() and len(run) > 2 for run in pattern.split())


@given(st.text(alphabet=string.ascii_letters + string.digits + " -_.:'\"?/<>,", max_size=200))
def test_the_pattern_of_a_pattern_is_itself(message: str) -> None:
    pattern = pattern_of(message)
    assert pattern_of(pattern) == pattern


def test_opened_quotes_that_are_never_closed_take_no_longer_than_words() -> None:
    # A worker finds patterns between calls, and a caller may choose what a provider quotes.
    def seconds(text: str) -> float:
        return min(timeit.repeat(lambda: pattern_of.__wrapped__(text), number=1, repeat=5))

    assert seconds("“" * 1000) < 20 * seconds("word " * 200)
