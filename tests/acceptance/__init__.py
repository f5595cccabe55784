"""The product as its users run it: real clients, real processes, a real model."""
