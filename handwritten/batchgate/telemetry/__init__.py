"""Who listens to the engine and the HTTP surfaces: metrics for Prometheus, log lines, spans for OpenTelemetry.

Spans have a module that is imported only when they are wanted: see `batchgate.telemetry.spans`.
"""

from __future__ import annotations

from batchgate.telemetry.events import EventLog
from batchgate.telemetry.metrics import Metrics
from batchgate.telemetry.several import Several

__all__ = ["EventLog", "Metrics", "Several"]
