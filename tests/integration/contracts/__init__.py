"""Contract tests: one suite per port, run on every implementation."""
