"""The engine: takes batches in, runs their requests, and finalizes their results.

It knows providers and storage as Protocols only.
"""
