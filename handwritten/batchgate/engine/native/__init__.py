"""The native lane: requests that travel in jobs of the providers' own batch APIs."""
