"""The body of a create on the OpenAI surface: a file, or requests as on the unified surface."""

from __future__ import annotations

from batchgate.api.binding import value_or_none
from batchgate.api.request_errors import allowed_values, refuse_missing
from batchgate.api.unified.create_body import BatchFormat
from batchgate.api.unified.request_shape import RequestShape
from batchgate_api.openai import CreateBatch

FIELDS_OF_A_FILE = ("endpoint", "completion_window")
"""Fields that a create from a file needs, as OpenAI's does."""


class OpenaiBatchFormat(BatchFormat[CreateBatch]):
    """The `CreateFormat` of a create on the OpenAI surface."""

    def __init__(self) -> None:
        super().__init__(CreateBatch, RequestShape(messages_as_chat=True))

    def check_file(self) -> None:
        """Raise `RefusedError` if a create from a file lacks a field."""
        for name in FIELDS_OF_A_FILE:
            if value_or_none(getattr(self.fields, name)) is None:
                raise refuse_missing(name, allowed_values(CreateBatch, name))
