"""What is printed by accident, in a trace or in the output of a test, has no key in it."""

from __future__ import annotations

import msgspec
import pytest

from batchgate.account_settings import AccountSettings
from batchgate.cli.connection import Connection
from batchgate.engine.model.provider_call import Account, UpstreamRequest, UpstreamResponse
from batchgate.providers.simulator.simulator import SimulatorSettings
from batchgate.settings import ApiKeySettings, Settings
from batchgate_api.gateway import PutSecret

KEY = "sk-planted"
ACCOUNT = AccountSettings(
    provider="simulator", base_url="http://here", api_key=KEY, simulator=SimulatorSettings(require_key=KEY)
)
CALL = {"headers": {"x-api-key": KEY}, "body": KEY.encode()}


@pytest.mark.parametrize(
    ("struct", "shown"),
    [
        (ACCOUNT, "api_key=..."),
        (ACCOUNT.simulator, "require_key=..."),
        (SimulatorSettings(), "require_key=None"),
        (ApiKeySettings(key=KEY, key_env="VARIABLE"), "key=..., key_env='VARIABLE'"),
        (
            Settings(
                accounts={"a": ACCOUNT},
                api_keys={"b": ApiKeySettings(key=KEY)},
                database_url=f"postgresql://u:{KEY}@db",
                storage_options={"secret_access_key": KEY},
            ),
            "database_url=...",
        ),
        (Account(name="a", provider="anthropic", base_url="http://here", api_key=KEY), "name='a'"),
        (Account(name="a", provider="anthropic", base_url=f"http://u:{KEY}@here/v1"), "base_url='http://here/v1'"),
        (UpstreamRequest(url="http://here", timeout=1.0, **CALL), "url='http://here'"),  # type: ignore[arg-type]
        (UpstreamResponse(status=401, **CALL), "status=401"),  # type: ignore[arg-type]
        (Connection("http://here", KEY), "http://here"),
        (PutSecret(value=KEY), "PutSecret(...)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_struct_that_holds_a_key_does_not_print_it(struct: msgspec.Struct, shown: str) -> None:
    for text in (repr(struct), str(struct), f"{[struct]}"):
        assert KEY not in text
    assert shown in repr(struct)
