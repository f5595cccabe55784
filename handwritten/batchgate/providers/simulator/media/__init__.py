"""Simulated APIs of providers whose answers are tasks or audio."""
