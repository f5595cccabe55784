"""Rows of Responses for a server of Chat Completions: the request goes there translated, the answer comes back so."""
