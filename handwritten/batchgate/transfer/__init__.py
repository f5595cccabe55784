"""Copies a stopped installation to another database and another blob storage, and verifies the copy."""
