"""The call that creates a batch of single calls, and what its refusal says about one of them; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Final, NamedTuple

# Only the generated operations know paths and parameters.
from batchgate_client.api.batches.cancel_batch import _get_kwargs as cancel_openai_call
from batchgate_client.api.batches.create_batch import _get_kwargs as create_openai_call
from batchgate_client.api.message_batches.cancel_message_batch import _get_kwargs as cancel_messages_call
from batchgate_client.api.message_batches.create_message_batch import _get_kwargs as create_messages_call
from batchgate_client.models import CreateBatch, CreateMessageBatch
from batchgate_client.types import UNSET
from batchgate_streams.batch_options import BatchOptions
from batchgate_streams.batching.single_calls import MESSAGES, Group, SingleCall
from batchgate_streams.calls import Call
from batchgate_streams.errors import GatewayRefused

CREATE_TIMEOUT: Final = 60.0
"""Seconds without progress after which a create is tried again."""
_NAMED: Final = re.compile(r"requests\.(\d+)(?:\.(?:body|params))?(?=[.:])[.:]?\s*")
"""How a refusal names a request by its place: ``requests.3.body.model: required``."""


class BadRequest(NamedTuple):
    """A request that the gateway refuses, by its place, and why."""

    place: int
    message: str


def create_call(group: Group, calls: Sequence[SingleCall], options: BatchOptions, key: str) -> Call:
    """Return the call that creates a batch; the ``custom_id`` of a request is its place."""
    more = options.header_arguments() | {"idempotency_key": key}
    if group.endpoint == MESSAGES:
        beta = UNSET if group.beta is None else group.beta
        call = create_messages_call(body=CreateMessageBatch([]), anthropic_beta=beta, **more)
        rows = [b'{"custom_id":"%d","params":%b}' % row for row in enumerate(each.body for each in calls)]
    else:
        call = create_openai_call(body=CreateBatch(requests=[], endpoint=group.endpoint), **more)
        start = b'"method":"POST","url":"%b"' % group.endpoint.encode()
        rows = [b'{"custom_id":"%d",%b,"body":%b}' % (place, start, each.body) for place, each in enumerate(calls)]
    fields = json.dumps(call.pop("json") | {"requests": None}).encode()
    content = fields.replace(b'"requests": null', b'"requests": [%b]' % b",".join(rows))
    return call | {"content": content, "timeout": CREATE_TIMEOUT}


def cancel_call(group: Group, batch_id: str) -> Call:
    """Return the call that cancels a batch."""
    return cancel_messages_call(batch_id) if group.endpoint == MESSAGES else cancel_openai_call(batch_id)


def bad_request(error: GatewayRefused, count: int) -> BadRequest | None:
    """Return the request that a refusal of a create names, or None if it is about the batch as a whole."""
    found = _NAMED.match(error.refusal.message)
    if found is None or int(found[1]) >= count:
        return None
    return BadRequest(int(found[1]), error.refusal.message[found.end() :])
