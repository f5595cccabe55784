"""Webhooks: the URLs of callers that get events of their batches."""
