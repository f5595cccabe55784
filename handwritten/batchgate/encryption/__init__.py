"""How secrets are encrypted in the database."""
