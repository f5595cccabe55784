"""Tests that kill gateways, workers and their database in the middle of batches."""
