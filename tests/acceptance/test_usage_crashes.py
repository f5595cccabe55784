"""Usage and monthly budgets of a batch that was killed add up to its rows: nothing is lost or counts twice."""

from __future__ import annotations

import signal
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final

import anthropic
import pytest
from anthropic import Anthropic

from tests.acceptance.test_crashes import anthropic_client
from tests.acceptance.test_failure_crashes import progress_of
from tests.support.databases import DATABASES, DatabaseKind
from tests.support.gateway_process import GatewayProcess
from tests.support.postgres_server import fresh_database

REQUESTS: Final = 600
"""Two shards."""
PRICES: Final = {"m": 3, "n": 7}
"""Dollars for a million tokens of each model."""
BUDGET: Final = {"quotas": {"monthly_spend_usd": 1000}}
"""The monthly budget of the workspace; the account has one too."""
SETTINGS: Final = f"""
[accounts.simulator]
provider = "simulator"
monthly_budget_usd = 1000
prices = {{ m = {{ input = {PRICES["m"]}, output = 0 }}, n = {{ input = {PRICES["n"]}, output = 0 }} }}
simulator.latency = 0.01
"""


def make_gateway(data_dir: Path, url: str | None, failpoints: str = "") -> GatewayProcess:
    database = "" if url is None else f'database_url = "{url}"\nworker_heartbeat_timeout = 1\n'
    return GatewayProcess(
        data_dir=data_dir, settings=database + SETTINGS, environment={"BATCHGATE_FAILPOINTS": failpoints}
    )


def submit_once(client: Anthropic) -> str | None:
    """Submit the batch with an idempotency key; return None if a kill prevented the acknowledgement."""
    message = {"max_tokens": 9, "messages": [{"role": "user", "content": "Hello"}]}
    requests: list[Any] = [
        {"custom_id": f"r{number}", "params": {"model": "mn"[number % 2], **message}} for number in range(REQUESTS)
    ]
    try:
        return client.messages.batches.create(requests=requests, extra_headers={"Idempotency-Key": "the only batch"}).id
    except anthropic.APIConnectionError:
        return None


def usage_of_rows(client: Anthropic, batch_id: str) -> dict[str, Counter[str]]:
    """Add up the rows of the results by model."""
    used = {model: Counter[str]() for model in PRICES}
    for line in client.messages.batches.results(batch_id):
        assert line.result.type == "succeeded"
        model, usage = line.result.message.model, line.result.message.usage
        nano = usage.input_tokens * PRICES[model] * 1000
        used[model].update(succeeded=1, input=usage.input_tokens, output=usage.output_tokens, nano=nano)
    return used


def reported_usage(report: Any) -> dict[str, Counter[str]]:
    return {
        group["model"]: Counter(
            succeeded=group["succeeded"],
            input=group["tokens"]["input"],
            output=group["tokens"]["output"],
            nano=round(group["cost_usd"] * 1e9),
        )
        for group in report["data"]
    }


@pytest.mark.parametrize("kind", DATABASES)
def test_usage_and_monthly_budgets_add_up_to_the_rows_after_kills_between_the_statements_of_a_chunk(
    tmp_path: Path, kind: DatabaseKind
) -> None:
    with fresh_database() if kind == "postgres" else nullcontext() as url:
        for step in ("chunk_half_flushed=kill:2", "response_received=kill:150"):
            with make_gateway(tmp_path, url, step) as gateway, anthropic_client(gateway) as client:
                client.patch(f"{gateway.url}/api/workspaces/default", body=BUDGET, cast_to=object)
                submit_once(client)
                assert gateway.wait() == -signal.SIGKILL
        with make_gateway(tmp_path, url) as gateway, anthropic_client(gateway) as client:
            batch_id = submit_once(client)
            assert batch_id is not None
            while (progress := progress_of(client, batch_id))["status"] != "ended":
                pass
            expected = usage_of_rows(client, batch_id)
            assert sum(used["succeeded"] for used in expected.values()) == REQUESTS
            report: Any = client.get(f"{gateway.url}/api/usage?by=model", cast_to=object)
            assert reported_usage(report) == expected
            total = round(progress["spent"]["direct_usd"] * 1e9)
            assert total == sum(used["nano"] for used in expected.values())
            assert {budget["kind"]: round(budget["spent_usd"] * 1e9) for budget in report["monthly_budgets"]} == {
                "account": total,
                "workspace": total,
            }
