-- name: lock_migrations
SELECT pg_advisory_lock(hashtextextended('batchgate migrations', 0))

-- name: find_tables
SELECT to_regclass('batchgate_migrations') IS NOT NULL, to_regclass('batches') IS NOT NULL

-- name: applied_migrations
SELECT migration_id FROM batchgate_migrations
