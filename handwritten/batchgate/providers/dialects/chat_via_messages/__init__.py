"""Rows of Chat Completions for a server of Messages: the request goes there translated, the answer comes back so."""
