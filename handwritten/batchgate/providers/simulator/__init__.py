"""The simulated model: in process, as a provider, and as a stand-alone server."""
