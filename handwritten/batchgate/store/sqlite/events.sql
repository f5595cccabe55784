-- name: unfinished_or_ended_since
SELECT * FROM (
    SELECT * FROM batches
    WHERE workspace = :workspace AND deleted_at IS NULL AND ended_at IS NULL
    ORDER BY key DESC LIMIT :limit
) AS unfinished
UNION ALL
SELECT * FROM (
    SELECT * FROM batches
    WHERE workspace = :workspace AND deleted_at IS NULL AND ended_at >= :since
    ORDER BY ended_at DESC LIMIT :limit
) AS ended

-- name: actions_since
WITH recent AS (
    SELECT key, id FROM batches WHERE workspace = :workspace AND deleted_at IS NULL AND ended_at IS NULL
    UNION ALL
    SELECT key, id FROM batches WHERE workspace = :workspace AND deleted_at IS NULL AND ended_at >= :since
)
SELECT recent.id, at, action, actor AS by, detail
FROM recent JOIN batch_timeline ON batch_timeline.batch_key = recent.key
WHERE at >= :since
ORDER BY at, recent.key, number LIMIT :limit
