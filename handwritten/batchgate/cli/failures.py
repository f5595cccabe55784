"""Failures of commands: one clear line on stderr and an exit status.

The tree::

    CommandFailed             the command failed
    ├── BatchPaused           the batch waits for somebody who decides
    ├── SubmissionRefused     the file is not a valid batch; found while it was sent
    └── CallFailed            a call to the gateway failed
        ├── GatewayRefused    the gateway answered with an error
        ├── GatewayUnreachable    no connection to the gateway
        └── ConnectionBroken      the connection broke before the whole answer came
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from batchgate.cli.terminal_text import printable
from batchgate.engine.model.errors import BatchgateError, ConfigurationError
from batchgate.tables.errors import TableError

USAGE_STATUS = 2
"""The exit status for wrong options and settings, as click uses it."""
INCOMPLETE_STATUS = 3
"""The exit status when a batch has ended and some of its requests did not succeed."""
INTERRUPTED_STATUS = 130
"""The exit status after Ctrl-C, as shells use it."""


class CommandFailed(Exception):
    """A command failed; the message is for the user."""


class BatchPaused(CommandFailed):
    """A batch is paused until somebody decides: its first results are the same permanent error."""

    def __init__(self, batch_id: str, reason: str) -> None:
        super().__init__(f"{batch_id} is paused: {reason}")
        self.batch_id = batch_id


class SubmissionRefused(CommandFailed):
    """The file is not a valid batch; the gateway stored nothing."""


class CallFailed(CommandFailed):
    """A call to the gateway failed; ``retry_safe`` says whether a read (not a create) may be repeated."""

    retry_safe: bool = False


class GatewayRefused(CallFailed):
    """The gateway answered with an error."""

    def __init__(self, message: str, *, status: int, request_id: str | None = None) -> None:
        super().__init__(f"{message} (request id {request_id})" if request_id else message)
        self.retry_safe = status >= 500


class GatewayUnreachable(CallFailed):
    """No connection to the gateway; nothing was sent."""

    retry_safe = True


class ConnectionBroken(CallFailed):
    """The connection broke before the whole answer came; the gateway may have executed the request."""

    retry_safe = True


@contextmanager
def failures_shown() -> Iterator[None]:
    """Turn known failures into a message and an exit status."""
    try:
        yield
    except ConfigurationError as error:
        raise _ShownUsageFailure(printable(str(error))) from error
    except (CommandFailed, BatchgateError, TableError) as error:
        raise click.ClickException(printable(str(error))) from error


class _ShownUsageFailure(click.ClickException):
    exit_code = USAGE_STATUS
