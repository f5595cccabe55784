"""Creates the exporter of spans, if the environment names a collector and the extra ``otel`` is installed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from batchgate.telemetry.spans import Spans

logger = logging.getLogger(__name__)

ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


def create_spans(version: str, environment: Mapping[str, str]) -> Spans | None:
    """Return the exporter of spans, or None; the packages of OpenTelemetry are imported only if it is needed."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    try:
        from batchgate.telemetry.spans import Spans, otlp_processor  # noqa: PLC0415
    except ImportError:
        message = "%s is set, but spans need the extra: pip install 'batchgate[otel]'"
        logger.warning(message, ENDPOINTS[0], extra={"action": "span_exporter_missing"})
        return None
    return Spans(otlp_processor(), version)
