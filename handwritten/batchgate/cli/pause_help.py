"""Says how a batch whose requests wait goes on."""

from __future__ import annotations

from batchgate.cli.command_text import Command
from batchgate_api.gateway import PauseCode


def pause_help(batch_id: str, code: PauseCode, command: Command) -> str:
    """Return what ends a pause: a command of the user, or the account that recovers."""
    resume = command("resume", batch_id)
    match code:
        case "requested" | "reuse_failed":
            return f"to go on: {resume}"
        case "identical_errors":
            return f"to send the others all the same: {resume}; to end the batch: {command('cancel', batch_id)}"
        case "budget_reached":
            return f"to go on: {command('budget', batch_id, '--usd', 'AMOUNT')}"
        case "price_unknown":
            return f"to go on without counting such answers: {resume}"
        case "monthly_budget_reached":
            return f"then: {resume}"
        case _:
            return "it goes on by itself when the account works again"
