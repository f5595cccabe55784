"""Says what is wrong with a name in the settings, and which known name is the nearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

import msgspec
from msgspec import Struct

from batchgate.account_settings import AccountSettings, DeploymentSettings, PriceSettings
from batchgate.providers.simulator.simulator import SimulatorSettings

_CUTOFF: Final = 0.6
_ACCOUNT_TABLES: Final[Mapping[str, type[Struct]]] = {
    "deployments": DeploymentSettings,
    "prices": PriceSettings,
    "simulator": SimulatorSettings,
}
"""The tables of an account."""
_PROVIDER_ALIASES: Final = {
    "aws": "bedrock",
    "claude": "anthropic",
    "google": "gemini",
    "llama.cpp": "vllm",
    "llamacpp": "vllm",
    "lmstudio": "vllm",
    "sglang": "sgl",
    "x.ai": "xai",
}
"""Providers by other names; vllm is every server with OpenAI's API and a base_url."""


def unknown_setting(path: str, top: Iterable[str], tables: Mapping[str, type[Struct]]) -> str:
    """Say that there is no setting ``path``, such as ``accounts.NAME.providr``, and what would be right."""
    known = list(_known_beside(path, top, tables))
    name = path.rpartition(".")[2]
    if near := get_close_matches(name.lower(), known, n=1, cutoff=_CUTOFF):
        return f"there is no such setting; did you mean {near[0]}?"
    return "there is no such setting" + (f"; the settings are {', '.join(known)}" if known else "")


def _known_beside(path: str, top: Iterable[str], tables: Mapping[str, type[Struct]]) -> Iterable[str]:
    table, *inside = path.split(".")
    if not inside:
        return top
    if table not in tables:
        return ()
    if len(inside) <= 2:
        return tables[table].__struct_fields__
    nested = _ACCOUNT_TABLES.get(inside[1]) if tables[table] is AccountSettings else None
    return () if nested is None else (field.encode_name for field in msgspec.structs.fields(nested))


def near_provider(given: str, known: Iterable[str]) -> str:
    """Return the question that follows the list of providers: ``; did you mean openai?``, or nothing."""
    name = given.lower()
    if alias := _PROVIDER_ALIASES.get(name):
        servers = " (any server with OpenAI's API, at its base_url)" if alias == "vllm" else ""
        return f"; did you mean {alias}{servers}?"
    near = get_close_matches(name, list(known), n=1, cutoff=_CUTOFF)
    return f"; did you mean {near[0]}?" if near else ""
