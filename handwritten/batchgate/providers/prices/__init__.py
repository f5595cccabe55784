"""Prices of models: of the settings, of a catalogue, and the discounts of the providers' batch APIs."""
