"""Encryption of the secrets in the database."""
