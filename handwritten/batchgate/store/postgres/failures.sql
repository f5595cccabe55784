-- name: failures_of_batch
SELECT failures FROM batch_failures WHERE batch_key = %(batch_key)s

-- name: store_failures
INSERT INTO batch_failures (batch_key, failures) VALUES (%(batch_key)s, %(failures)s)
ON CONFLICT (batch_key) DO UPDATE SET failures = excluded.failures

-- name: drop_failures
DELETE FROM batch_failures WHERE batch_key = %(batch_key)s
