"""Who listens to the engine and the HTTP surfaces: metrics for Prometheus, log lines, spans for OpenTelemetry.

Spans have a module that is imported only when they are wanted: see `telemetry.spans`.
"""

from __future__ import annotations

from batchgate.telemetry.composite import CompositeTelemetry
from batchgate.telemetry.event_log import EventLog
from batchgate.telemetry.metrics import Metrics

__all__ = ["CompositeTelemetry", "EventLog", "Metrics"]
