"""Tests of the product as users run it: real clients, real processes, a real model."""
