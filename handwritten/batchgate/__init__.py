"""Batchgate: a self-hosted gateway that gives every LLM provider a durable batch API."""

from importlib.metadata import version

__version__ = version("batchgate")
