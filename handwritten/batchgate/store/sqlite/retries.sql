-- name: retries_of
-- A retry that was deleted is passed, since its own retries may exist.
WITH RECURSIVE family (id) AS (
    SELECT :id
    UNION
    SELECT child.id FROM family JOIN batches AS child ON child.parent = family.id AND child.workspace = :workspace
)
SELECT batches.* FROM family JOIN batches ON batches.id = family.id
WHERE batches.id <> :id AND batches.deleted_at IS NULL
ORDER BY batches.key LIMIT :limit
