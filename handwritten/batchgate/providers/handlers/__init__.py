"""One handler for each provider API: encodes calls and decodes answers."""
