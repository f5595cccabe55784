"""The store for many machines: one PostgreSQL database, statements in pipelines on pooled connections."""

from batchgate.store.postgres.address import Address
from batchgate.store.postgres.cluster import PostgresCluster
from batchgate.store.postgres.store import PostgresStore

__all__ = ["Address", "PostgresCluster", "PostgresStore"]
