"""Libraries that make single calls, with `BatchTransport` as their network; in an environment of their own."""
