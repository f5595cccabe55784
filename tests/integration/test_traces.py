"""Spans reach a collector over OTLP when the environment names one."""

import sys
from pathlib import Path

import pytest

from tests.support.gateway_process import GatewayProcess
from tests.support.running_app import running_app
from tests.support.scrape import scrape_until
from tests.support.span_collector import Collector


async def test_a_gateway_exports_the_spans_of_a_batch_before_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = Collector()
    async with collector.listening() as url:
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)  # read by the exporter itself
        async with running_app(tmp_path, environment=environment) as app:
            batch = await app.create("a", "b")
            await scrape_until(app, "batchgate_batches_ended_total")
    names = sorted(span.name for span in collector.spans)
    assert names == ["chat simulated", "chat simulated", "create batch", "finalize batch", "run shard"]
    assert len({span.trace_id for span in collector.spans}) == 1
    span_ids = {span.span_id for span in collector.spans}
    assert [span.name for span in collector.spans if span.parent_span_id not in span_ids] == ["create batch"]
    for span in collector.spans:
        assert {a.value.string_value for a in span.attributes if a.key == "batchgate.batch"} == {batch["id"]}
    assert collector.services == {"batchgate"}
    for span in collector.spans:
        if span.name == "chat simulated":
            told = {attribute.key: attribute.value for attribute in span.attributes}
            assert told["gen_ai.provider.name"].string_value == "simulator"
            assert told["gen_ai.response.model"].string_value == "simulated"
            assert [reason.string_value for reason in told["gen_ai.response.finish_reasons"].array_value.values] == [
                "end_turn"
            ]
            assert told["gen_ai.usage.input_tokens"].int_value > 0
            assert told["gen_ai.usage.output_tokens"].int_value > 0


async def test_a_gateway_without_a_collector_does_not_import_opentelemetry(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import atexit, sys\n"
        "@atexit.register\n"
        "def print_imports():\n"
        "    print('imported', [name for name in sys.modules if name.startswith('opentelemetry')], file=sys.stderr)\n"
    )
    environment = {"PYTHONPATH": ":".join([str(tmp_path), *sys.path])}
    with GatewayProcess(data_dir=tmp_path / "data", environment=environment) as gateway:
        pass
    assert "imported []" in gateway.log


async def test_a_gateway_without_the_otel_extra_logs_a_warning_and_still_serves(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['opentelemetry.sdk'] = None\n")
    environment = {
        "PYTHONPATH": ":".join([str(tmp_path), *sys.path]),
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "BATCHGATE_LOG_FORMAT": "json",
    }
    with GatewayProcess(data_dir=tmp_path / "data", environment=environment) as gateway:
        pass
    assert '"action":"span_exporter_missing"' in gateway.log
    assert "pip install 'batchgate[otel]'" in gateway.log
