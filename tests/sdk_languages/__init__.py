"""The official SDKs for other languages, see test_sdk_languages.py."""
