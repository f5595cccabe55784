"""The gateway process that most acceptance tests call."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess

API_KEY = "sk-bf-acceptance"
ADMIN_KEY = "sk-bf-administrator"
SETTINGS = f"""
shutdown_timeout = 0

[accounts.anthropic]
provider = "simulator"
simulator.latency = 0.01
simulator.latency_by_model = {{ slow = 2.0 }}

[api_keys.acceptance]
key = "{API_KEY}"

[api_keys.administrator]
key = "{ADMIN_KEY}"
scopes = ["admin", "read"]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """Run a gateway with two API keys and a simulated provider as its account ``anthropic``."""
    data_dir: Path = tmp_path_factory.mktemp("gateway")
    with GatewayProcess(data_dir=data_dir, settings=SETTINGS) as process:
        yield process
