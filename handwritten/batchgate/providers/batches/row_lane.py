"""The part of a lane that is about single requests: which of them can run natively, and how a row is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from batchgate.engine.model.errors import RequestError
from batchgate.engine.model.native_job import PlannedRow
from batchgate.engine.model.provider_call import Account, RequestRow, RowKind
from batchgate.engine.ports.provider_batches import LaneLimits
from batchgate.providers.batches.refusals import refused_field
from batchgate.providers.dialects.translation import to_single_line
from batchgate.providers.handlers.openai import PATHS, OpenAIHandler


class RowLane:
    """The rows of a lane are ``{"custom_id", "body"}``, with the body that its live API would get from ``handler``.

    A lane derives from it, sets the attributes, and adds the calls for its jobs.
    """

    name: str
    """The provider's name in messages."""
    limits: LaneLimits
    """What one job may have."""
    endpoints: Mapping[RowKind, str]
    """The kinds of requests that may be in a job, and their endpoint as the provider names it."""
    rows_have_url: bool = False
    """Whether a row names its method and its endpoint too."""
    rows_have_model: bool = True
    """Whether the body of a row keeps its model, or the job alone has it."""

    def __init__(self, handler: OpenAIHandler) -> None:
        self._handler: Final = handler

    def sent_kind(self, kind: RowKind) -> RowKind:
        """Return the kind of the requests that are sent for rows of a kind; raises `RequestError` if there is none."""
        return self._handler.sent_kind(kind)

    def refusal(self, row: RequestRow) -> str | None:
        """Return why a request cannot run natively, with the name of the field; None if it can."""
        try:
            kind = self._handler.sent_kind(row.kind)
        except RequestError as error:
            return error.message
        if kind not in self.endpoints:
            return f"url: the batch API of {self.name} has no {PATHS[kind]}"
        return refused_field(self.name, row)

    def encode(self, account: Account, row: RequestRow, identifier: str) -> PlannedRow:
        """Encode a request as a row; its body is that of the live call. Raises `RequestError`."""
        _ = account
        body = self._handler.body(row)
        line: dict[str, object] = {"custom_id": identifier}
        if self.rows_have_url:
            line |= {"method": "POST", "url": self.endpoints[self._handler.sent_kind(row.kind)]}
        line["body"] = msgspec.Raw(body) if self.rows_have_model else _without_model(body)
        return PlannedRow(row_id=identifier, line=to_single_line(msgspec.json.encode(line)))


def _without_model(body: bytes) -> dict[str, msgspec.Raw]:
    fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    fields.pop("model", None)
    return fields
