"""The process as one of several on a database: heartbeats, leases, shares of the limits."""
