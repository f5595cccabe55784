-- name: lock_members
-- Who is paused while it holds the lock must not keep the others from being seen.
SELECT
    set_config('idle_in_transaction_session_timeout', '2s', true),
    pg_advisory_xact_lock(hashtextextended('batchgate members', 0))

-- name: join_members
INSERT INTO members (name, role, seen_at) VALUES (%(name)s, %(role)s, clock_timestamp()) RETURNING id

-- name: seen
UPDATE members SET seen_at = clock_timestamp(), condition = %(condition)s
WHERE id = %(member)s RETURNING id

-- name: leave_members
DELETE FROM members WHERE id = %(member)s

-- name: take_the_dead_away
DELETE FROM members WHERE seen_at < clock_timestamp() - make_interval(secs => %(dead_after)s) RETURNING id

-- name: living_workers
SELECT id, name, share_begin, share_end, condition FROM members WHERE role <> 'gateway' ORDER BY id

-- name: share
UPDATE members SET share_begin = %(begin)s, share_end = %(end)s WHERE id = %(member)s

-- name: tell_members
SELECT pg_notify('batchgate', '{"event": "members"}')

-- name: holder
SELECT leases.member FROM leases JOIN members ON members.id = leases.member
WHERE leases.name = %(name)s AND seen_at >= clock_timestamp() - make_interval(secs => %(dead_after)s)

-- name: take_lease
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
