"""Clients of the batch APIs of providers."""
