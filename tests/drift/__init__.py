"""Tests that fail where spec, generated code, handlers, routes, examples, documentation or code shape have drifted."""
