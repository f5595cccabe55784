-- name: lock_members
-- A process that is paused while it holds the lock must not block the heartbeats of the others.
SELECT
    set_config('idle_in_transaction_session_timeout', '2s', true),
    pg_advisory_xact_lock(hashtextextended('batchgate members', 0))

-- name: add_member
INSERT INTO members (name, role, seen_at) VALUES (%(name)s, %(role)s, clock_timestamp()) RETURNING id

-- name: record_heartbeat
UPDATE members SET seen_at = clock_timestamp(), condition = %(condition)s
WHERE id = %(member)s RETURNING id

-- name: remove_member
DELETE FROM members WHERE id = %(member)s

-- name: evict_dead_members
-- The member that runs this has just sent its heartbeat, even if that took longer than a dead member has.
DELETE FROM members
WHERE seen_at < clock_timestamp() - make_interval(secs => %(dead_after)s) AND id <> %(member)s RETURNING id

-- name: list_workers
SELECT id, name, share_begin, share_end, condition FROM members WHERE role <> 'gateway' ORDER BY id

-- name: set_share
UPDATE members SET share_begin = %(begin)s, share_end = %(end)s WHERE id = %(member)s

-- name: notify_members
SELECT pg_notify('batchgate', '{"event": "members"}')

-- name: find_lease_holder
SELECT leases.member FROM leases JOIN members ON members.id = leases.member
WHERE leases.name = %(name)s AND seen_at >= clock_timestamp() - make_interval(secs => %(dead_after)s)

-- name: acquire_lease
INSERT INTO leases (name, member) SELECT %(name)s, id FROM members WHERE id = %(member)s
ON CONFLICT (name) DO UPDATE SET member = excluded.member, taken_at = now()
WHERE leases.member = excluded.member OR NOT EXISTS (
    SELECT 1 FROM members
    WHERE id = leases.member AND seen_at >= clock_timestamp() - make_interval(secs => %(dead_after)s)
)
RETURNING name

-- name: release_lease
DELETE FROM leases WHERE name = %(name)s AND member = %(member)s

-- name: listen
LISTEN batchgate
