"""Who speaks to each provider: handlers by name, the simulated model, and the transport that carries their calls."""
