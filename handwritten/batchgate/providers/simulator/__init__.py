"""The simulated model: in process, as a provider, and as a server of its own."""
