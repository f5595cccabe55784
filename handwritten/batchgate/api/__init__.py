"""The HTTP surfaces: handlers for the generated Protocols, one folder a dialect, and what they share."""
