"""The engine: takes batches in, runs their requests, and seals their results.

It knows providers and storage as Protocols only.
"""
