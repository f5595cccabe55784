"""Runs requests: claims shards, admits requests, routes them to accounts, calls providers and retries."""
