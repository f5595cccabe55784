"""The live server against its own OpenAPI document, by schemathesis: ``nox -s fuzz``."""
