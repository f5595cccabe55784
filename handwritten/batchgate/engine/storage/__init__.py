"""Reads and writes blobs for the engine: hashing, checking, removing what has no owner."""
