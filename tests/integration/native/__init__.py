"""The native lane: batches that travel in jobs of simulated providers' batch APIs."""
