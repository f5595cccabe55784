"""The engine: takes batches in, runs their requests, and seals their results. Knows providers and storage as Protocols only."""
