"""Protocols for everything that the engine needs from outside: storage, queue, cluster, providers, telemetry."""
