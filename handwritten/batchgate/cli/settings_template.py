"""The text of a first settings file, with one account and the settings that people look for as comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from msgspec import Struct


class FirstAccount(Struct, frozen=True, kw_only=True):
    """The account of a new settings file; None for settings that it does not need."""

    name: str
    provider: str
    base_url: str | None = None
    region: str | None = None
    api_key_env: str | None = None
    api_key_file: str | None = None


def settings_text(account: FirstAccount) -> str:
    """Return the text of the file, in TOML."""
    return "\n".join((_HEAD, *_account_lines(account), _TAIL))


def _account_lines(account: FirstAccount) -> Iterator[str]:
    name = account.name if re.fullmatch(r"[A-Za-z0-9_-]+", account.name) else _quoted(account.name)
    yield f"[accounts.{name}]"
    yield f"provider = {_quoted(account.provider)}"
    for setting in ("base_url", "region", "api_key_env", "api_key_file"):
        if (value := getattr(account, setting)) is not None:
            yield f"{setting} = {_quoted(value)}"


def _quoted(text: str) -> str:
    """Return a text as a basic string of TOML, whose escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


_HEAD = """\
# Settings of Batchgate. `batchgate check` tests them, `batchgate serve` starts the gateway with them.
# All settings: handwritten/docs/settings.md

# host = "127.0.0.1"             # other addresses need API keys, see below
# port = 8080
# data_dir = "batchgate-data"    # the database, requests and results

# A provider account. A request names it in its model, as in "NAME/MODEL"."""

_TAIL = """\
# concurrency = 64               # calls to one model at a time; lowered while the provider refuses them
# requests_per_minute = 500      # limits of your plan, if you know them
# tokens_per_minute = 200000
# monthly_budget_usd = 100       # batches are paused when it is reached
# lane = "auto"                  # auto, direct or native: calls, or the provider's batch API

# A key for callers. Without any, only programs on this machine can call the gateway.
# [api_keys.me]
# key_env = "MY_BATCHGATE_KEY"
"""
