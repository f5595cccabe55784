"""What providers state that a call has cost is read exactly, and only from those that state it in US dollars.

The bodies are those of the documentation: openrouter.ai/docs/use-cases/usage-accounting (with a key of the caller's own
at the upstream provider too), and docs.x.ai/developers/cost-tracking.
"""

from __future__ import annotations

import pytest

from batchgate.providers.responses.stated_costs import STATED_COSTS
from batchgate.providers.responses.usage_meter import UsageMeter
from tests.unit.providers.calls import response

OPENROUTER = b'"completion_tokens":2,"cost":0.95,"cost_details":{"upstream_inference_cost":19},"prompt_tokens":194'
XAI = b'"cost_in_usd_ticks":37756000'


@pytest.mark.parametrize(
    ("provider", "usage", "expected"),
    [
        ("openrouter", OPENROUTER, 950_000_000),
        ("openrouter", OPENROUTER + b',"is_byok":true', 19_950_000_000),
        ("openrouter", b'"cost":0.01,"is_byok":true', None),
        ("openrouter", b'"cost":0.0000000011', 2),
        ("openrouter", b'"cost":0', 0),
        ("openrouter", b'"cost":1000001', None),
        ("openrouter", b'"cost":-1', None),
        ("openrouter", b'"cost":"0.95"', None),
        ("openrouter", b'"cost":true', None),
        ("openrouter", b'"cost":1e99999999999999999999', None),
        ("openrouter", XAI, None),
        ("xai", XAI, 3_775_600),
        ("xai", b'"cost_in_usd_ticks":37756001', 3_775_601),
        ("xai", OPENROUTER, None),
        ("openai", OPENROUTER, None),
        ("openai", XAI, None),
    ],
)
def test_the_cost_that_a_provider_states_is_read_exactly(provider: str, usage: bytes, expected: int | None) -> None:
    meter = UsageMeter(cost=STATED_COSTS.get(provider))
    answer = response(b'{"id":"gen-1","usage":{%s}}' % usage)
    assert meter.stated_cost(answer, native=False) == expected
    assert meter.stated_cost(answer, native=True) == (expected if provider == "xai" else None)


@pytest.mark.parametrize("body", [b"", b"[]", b'{"usage":null}', b'{"usage":{"cost":1,"cost_details":7}}'])
def test_an_answer_in_another_form_states_no_cost(body: bytes) -> None:
    assert UsageMeter(cost=STATED_COSTS["openrouter"]).stated_cost(response(body), native=False) is None
