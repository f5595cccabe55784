"""The providers by name, and what each known server supports."""
