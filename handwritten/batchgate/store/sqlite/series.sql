-- name: add_to_series
INSERT INTO batch_series (batch_key, at, succeeded, failed, cost, calls, duration, longest, call_limit)
VALUES (:batch_key, :at, :succeeded, :failed, :period_cost, :calls, :duration, :longest, :call_limit)
ON CONFLICT (batch_key, at) DO UPDATE SET
    succeeded = batch_series.succeeded + excluded.succeeded, failed = batch_series.failed + excluded.failed,
    cost = batch_series.cost + excluded.cost, calls = batch_series.calls + excluded.calls,
    duration = batch_series.duration + excluded.duration, longest = max(batch_series.longest, excluded.longest),
    call_limit = coalesce(excluded.call_limit, batch_series.call_limit)

-- name: series_of_batch
SELECT * FROM batch_series WHERE batch_key = :batch_key ORDER BY at

-- name: drop_series
DELETE FROM batch_series WHERE batch_key = :batch_key
