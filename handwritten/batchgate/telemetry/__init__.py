"""Implementations of `Telemetry`: metrics for Prometheus, log records, spans for OpenTelemetry.

The module of the spans, `telemetry.spans`, is imported only when spans are exported.
"""

from __future__ import annotations

from batchgate.telemetry.composite import CompositeTelemetry
from batchgate.telemetry.event_log import EventLog
from batchgate.telemetry.metrics import Metrics

__all__ = ["CompositeTelemetry", "EventLog", "Metrics"]
