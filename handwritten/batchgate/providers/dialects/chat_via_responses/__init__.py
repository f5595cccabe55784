"""Rows of Chat Completions for a server of Responses: the request goes there translated, the answer comes back so."""
