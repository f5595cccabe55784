"""The errors that the unified surface returns for invalid calls."""

from typing import Any

from batchgate.api.request_errors import allowed_values
from batchgate.engine.model.batch_endpoint import KINDS
from batchgate_api.gateway import CreateUnifiedBatch
from tests.support.error_responses import check_unified_error
from tests.support.running_app import RunningApp
from tests.support.unified_batches import messages

INVALID = "invalid_request_error"
MISSING, UNKNOWN, WRONG = "missing_required_parameter", "unknown_parameter", "invalid_value"
CONFIGURED = "configured: openai, anthropic, simulator"
ENDPOINTS = ", ".join(allowed_values(CreateUnifiedBatch, "endpoint"))
FILE_ENDPOINTS = ", ".join(KINDS)
RESPONSES = "/v1/responses"
BODY = messages()


async def expect_error(
    app: RunningApp,
    method: str,
    path: str,
    *,
    expected: tuple[int, str] = (400, INVALID),
    param: str | None = None,
    code: str | None = None,
    **options: Any,
) -> str:
    """Make a call that must be refused, and return the message."""
    async with app.client.request(method, app.url + path, **options) as response:
        return check_unified_error(
            response.status, response.headers, await response.read(), expected=expected, param=param, code=code
        )
