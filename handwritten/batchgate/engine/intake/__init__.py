"""Intake of batches: writes the input of a new batch, and validates the files that batches are made from."""
