-- name: version
PRAGMA user_version

-- name: count_tables
SELECT count(*) FROM sqlite_master

-- name: applied_migrations
SELECT migration_id FROM batchgate_migrations
