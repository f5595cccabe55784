"""Rows of Messages for a server of Chat Completions: the request goes there translated, the answer comes back so."""
