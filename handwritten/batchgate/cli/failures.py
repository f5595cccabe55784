"""Failures of commands: one clear line on stderr, of text or with --json of JSON, and an exit status.

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

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import click

from batchgate.cli.json_option import errors_are_json
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
    """A command failed; the message is for the user. With a ``cause``, it is the same kind of failure."""

    code: str = "failed"
    """The kind of failure, for programs."""

    def __init__(self, message: str, *, cause: Exception | None = None) -> None:
        super().__init__(message)
        if cause is not None:
            self.code = code_of(cause)


class BatchPaused(CommandFailed):
    """A batch is paused until somebody decides, such as one whose first results are the same permanent error."""

    code = "batch_paused"

    def __init__(self, batch_id: str, reason: str, *, again: bool = False) -> None:
        super().__init__(f"{batch_id} is paused{' again' if again else ''}: {reason}")
        self.batch_id = batch_id


class SubmissionRefused(CommandFailed):
    """The file is not a valid batch; the gateway stored nothing."""

    code = "invalid_file"


class CallFailed(CommandFailed):
    """A call to the gateway failed; ``retry_safe`` says whether a read (not a create) may be repeated."""

    retry_safe: bool = False


class GatewayRefused(CallFailed):
    """The gateway answered with an error."""

    code = "gateway_refused"

    def __init__(self, message: str, *, status: int, request_id: str | None = None) -> None:
        super().__init__(f"{message} (request id {request_id})" if request_id else message)
        self.retry_safe = status >= 500


class GatewayUnreachable(CallFailed):
    """No connection to the gateway; nothing was sent."""

    code = "gateway_unreachable"
    retry_safe = True


class ConnectionBroken(CallFailed):
    """The connection broke before the whole answer came; the gateway may have executed the request."""

    code = "connection_broken"
    retry_safe = True


def code_of(error: Exception) -> str:
    """Return the code of an error that ends a command."""
    return error.code if isinstance(error, CommandFailed) else CommandFailed.code


@contextmanager
def failures_shown(context: click.Context) -> Iterator[None]:
    """Turn known failures into a message and an exit status; with --json the message is a line of JSON."""
    try:
        yield
    except click.ClickException as error:  # wrong options
        raise _shown(context, "usage_error", error.format_message(), error) from error
    except ConfigurationError as error:
        raise _shown(context, "configuration_error", str(error), _UsageFailure(printable(str(error)))) from error
    except (CommandFailed, BatchgateError, TableError) as error:
        raise _shown(context, code_of(error), str(error), click.ClickException(printable(str(error)))) from error


def _shown(context: click.Context, code: str, message: str, as_text: click.ClickException) -> click.ClickException:
    if not errors_are_json(context):
        return as_text
    failure = _JsonUsageFailure if as_text.exit_code == USAGE_STATUS else _JsonFailure
    return failure(code, message)


class _UsageFailure(click.ClickException):
    exit_code = USAGE_STATUS


class _JsonFailure(click.ClickException):
    """Is shown as a line of JSON."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self._code = code

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the line on stderr, or to a file."""
        details = {"code": self._code, "message": self.message, "exit_status": self.exit_code}
        click.echo(json.dumps({"error": details}), file=file, err=file is None)


class _JsonUsageFailure(_JsonFailure):
    exit_code = USAGE_STATUS
