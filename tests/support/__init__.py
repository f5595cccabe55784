"""Processes, servers and factories that several test suites share."""
