"""The clients of batch APIs against simulated providers."""
