"""Unified batches with invalid requests: the error names each invalid field; nothing is stored."""

from typing import Any

import pytest

from batchgate.api.create_faults import MAX_PROBLEMS
from tests.integration.bad_unified_batches.expected_errors import (
    BODY,
    ENDPOINTS,
    MISSING,
    RESPONSES,
    UNKNOWN,
    WRONG,
    expect_error,
)
from tests.support.error_responses import assert_nothing_stored
from tests.support.running_app import RunningApp
from tests.support.unified_batches import BATCHES, CHAT, chat_rows, message_rows


@pytest.mark.parametrize(
    ("rows", "param", "code", "message"),
    [
        pytest.param(
            [{"custom_id": "a", "params": BODY, "body": BODY}],
            "requests.0",
            WRONG,
            "requests.0: it has params and a body; a request has one of them",
            id="both",
        ),
        pytest.param(
            [{"custom_id": "a"}],
            "requests.0",
            MISSING,
            "requests.0: Field required: params for Messages, or a body",
            id="neither",
        ),
        pytest.param(
            [*chat_rows("a"), *message_rows("b")],
            "requests.1.params",
            WRONG,
            "requests.1.params: others have body; all requests have the same shape",
            id="mixed shapes",
        ),
        pytest.param(
            [*chat_rows("a"), {"custom_id": "b", "url": RESPONSES, "body": {}}],
            "requests.1.url",
            "url_mismatch",
            f"requests.1.url: it goes to {RESPONSES}, and others go to {CHAT}",
            id="mixed urls",
        ),
        pytest.param(
            [{"custom_id": "a", "url": CHAT, "params": BODY}],
            "requests.0.url",
            "url_mismatch",
            f"requests.0.url: it is {CHAT}, and params are for /v1/messages; give a body",
            id="params for another url",
        ),
        pytest.param(
            [{"custom_id": "a", "url": "/v1/rerank", "body": BODY}],
            "requests.0.url",
            WRONG,
            f"requests.0.url: Input should be one of {ENDPOINTS}, not '/v1/rerank'",
            id="unknown url",
        ),
        pytest.param(
            [{"custom_id": "a", "method": "GET", "body": BODY}],
            "requests.0.method",
            WRONG,
            "requests.0.method: Input should be one of POST, not 'GET'",
            id="method",
        ),
        pytest.param(
            [{"custom_id": "a", "body": BODY | {"stream": True}}],
            "requests.0.body.stream",
            WRONG,
            "requests.0.body.stream: a batch has no streams; leave it out",
            id="stream",
        ),
        pytest.param(
            [{"custom_id": "a", "params": BODY | {"stream": True}}],
            "requests.0.params.stream",
            WRONG,
            "requests.0.params.stream: a batch has no streams; leave it out",
            id="stream of Messages",
        ),
        pytest.param(
            chat_rows("a", "a"),
            "requests.1.custom_id",
            "duplicate_custom_id",
            "requests.1.custom_id: 'a' is already the custom_id of requests.0; each must be unique",
            id="duplicate",
        ),
        pytest.param(
            [{"custom_id": "a", "body": BODY, "priority": 1}],
            "requests.0.priority",
            UNKNOWN,
            "requests.0.priority: Extra inputs are not permitted",
            id="unknown field",
        ),
        pytest.param(
            [{"body": BODY}], "requests.0.custom_id", MISSING, "requests.0.custom_id: Field required", id="no name"
        ),
        pytest.param(
            message_rows("a b"),
            "requests.0.custom_id",
            WRONG,
            "requests.0.custom_id: String should match pattern ^[a-zA-Z0-9_-]{1,64}$",
            id="name that Messages may not have",
        ),
        pytest.param(
            [{"custom_id": "a", "body": "x"}],
            "requests.0.body",
            WRONG,
            "requests.0.body: it must be an object, a request of its endpoint",
            id="body that is no object",
        ),
    ],
)
async def test_an_invalid_request_is_refused_with_the_name_of_the_field(
    app: RunningApp, rows: list[dict[str, Any]], param: str, code: str, message: str
) -> None:
    body = {"model": "openai/simulated", "requests": rows}
    assert await expect_error(app, "POST", BATCHES, param=param, code=code, json=body) == message
    await assert_nothing_stored(app)


async def test_the_error_names_every_invalid_request_up_to_a_maximum(app: RunningApp) -> None:
    rows = [{"custom_id": str(number), "body": BODY | {"stream": number % 2 == 1}} for number in range(300)]
    body = {"model": "openai/simulated", "requests": rows}
    message = await expect_error(app, "POST", BATCHES, param="requests.1.body.stream", code=WRONG, json=body)
    assert message.count(".body.stream: ") == MAX_PROBLEMS
    assert message.endswith(" (more may follow: only the first are named)")
    await assert_nothing_stored(app)
