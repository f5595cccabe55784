"""How a command fails, and how a failure is shown: one clear line and an exit status.

The tree::

    CommandFailed             the command cannot do what it was asked
    ├── SubmissionRefused     what is submitted is wrong, which shows before it is sent whole
    └── CallFailed            a call to the gateway failed
        ├── GatewayRefused    the gateway answered with an error
        ├── GatewayUnreachable    it is not there
        └── ConnectionBroken      it was there, but no whole answer came
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click

from batchgate.engine.model.errors import BatchgateError, ConfigurationError

USAGE_STATUS = 2
"""The exit status for wrong options and settings, as click has it."""
INCOMPLETE_STATUS = 3
"""The exit status when a batch has ended, but not all of its requests succeeded."""
INTERRUPTED_STATUS = 130
"""The exit status after Ctrl-C, as shells have it."""


class CommandFailed(Exception):
    """A command cannot do what it was asked; the message is for the user."""


class SubmissionRefused(CommandFailed):
    """What is submitted is no batch; nothing of it was stored."""


class CallFailed(CommandFailed):
    """A call to the gateway failed; ``retry_safe`` tells if a question (not a create) may be asked again."""

    retry_safe: bool = False


class GatewayRefused(CallFailed):
    """The gateway answered with an error."""

    def __init__(self, message: str, *, status: int, request_id: str | None = None) -> None:
        super().__init__(f"{message} (request id {request_id})" if request_id else message)
        self.retry_safe = status >= 500


class GatewayUnreachable(CallFailed):
    """There is no gateway where it should be; nothing was sent."""

    retry_safe = True


class ConnectionBroken(CallFailed):
    """No whole answer came from the gateway; what was asked may have been done."""

    retry_safe = True


@contextmanager
def failures_shown() -> Iterator[None]:
    """Turn the failures that are known into a message and an exit status."""
    try:
        yield
    except ConfigurationError as error:
        raise _ShownUsageFailure(str(error)) from error
    except (CommandFailed, BatchgateError) as error:
        raise click.ClickException(str(error)) from error


class _ShownUsageFailure(click.ClickException):
    exit_code = USAGE_STATUS
