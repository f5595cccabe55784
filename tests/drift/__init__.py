"""Fails wherever spec, generated code, handlers, routes, examples or documentation have come apart."""
