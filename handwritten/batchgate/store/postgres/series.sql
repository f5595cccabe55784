-- name: series_of_batch
SELECT * FROM batch_series WHERE batch_key = %(batch_key)s ORDER BY at

-- name: drop_series
DELETE FROM batch_series WHERE batch_key = %(batch_key)s
