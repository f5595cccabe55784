"""Schemathesis tests a live gateway against its own OpenAPI document: ``nox -s fuzz``."""
