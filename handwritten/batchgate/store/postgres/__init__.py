"""The store and the cluster of several processes, on one PostgreSQL database."""

from batchgate.store.postgres.address import PostgresAddress
from batchgate.store.postgres.cluster import PostgresCluster
from batchgate.store.postgres.store import PostgresStore

__all__ = ["PostgresAddress", "PostgresCluster", "PostgresStore"]
