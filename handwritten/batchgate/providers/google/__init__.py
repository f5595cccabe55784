"""Service accounts of Google Cloud, and the access tokens that they get."""
