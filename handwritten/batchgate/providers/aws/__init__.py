"""Credentials of Amazon Web Services, and signatures made with them."""
