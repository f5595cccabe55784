-- name: search_all
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (%(account)s::text IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = %(account)s AND named.batch_key = scanned.key
        ))
        AND (%(name)s::text IS NULL OR name = %(name)s) AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(model)s::text IS NULL OR model = %(model)s)
        AND (%(metadata)s::jsonb IS NULL OR CASE
            WHEN terms ~ '(^|[^\\])(\\\\)*\\u0000' THEN FALSE -- which jsonb cannot store
            ELSE terms::jsonb -> 'metadata' @> %(metadata)s::jsonb
        END) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = %(workspace)s AND deleted_at IS NULL
            AND created_at >= %(created_after)s AND (created_at, key) < (%(created)s, %(key)s)
        ORDER BY created_at DESC, key DESC LIMIT %(scanned)s
    ) AS scanned
) AS found
WHERE matches OR place = %(scanned)s
ORDER BY created_at DESC, key DESC LIMIT %(limit)s

-- name: search_by_name
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (%(account)s::text IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = %(account)s AND named.batch_key = scanned.key
        ))
        AND (%(name)s::text IS NULL OR name = %(name)s) AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(model)s::text IS NULL OR model = %(model)s)
        AND (%(metadata)s::jsonb IS NULL OR CASE
            WHEN terms ~ '(^|[^\\])(\\\\)*\\u0000' THEN FALSE -- which jsonb cannot store
            ELSE terms::jsonb -> 'metadata' @> %(metadata)s::jsonb
        END) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = %(workspace)s AND deleted_at IS NULL AND name = %(name)s
            AND created_at >= %(created_after)s AND (created_at, key) < (%(created)s, %(key)s)
        ORDER BY created_at DESC, key DESC LIMIT %(scanned)s
    ) AS scanned
) AS found
WHERE matches OR place = %(scanned)s
ORDER BY created_at DESC, key DESC LIMIT %(limit)s

-- name: search_by_status
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (%(account)s::text IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = %(account)s AND named.batch_key = scanned.key
        ))
        AND (%(name)s::text IS NULL OR name = %(name)s) AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(model)s::text IS NULL OR model = %(model)s)
        AND (%(metadata)s::jsonb IS NULL OR CASE
            WHEN terms ~ '(^|[^\\])(\\\\)*\\u0000' THEN FALSE -- which jsonb cannot store
            ELSE terms::jsonb -> 'metadata' @> %(metadata)s::jsonb
        END) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = %(workspace)s AND deleted_at IS NULL AND status = %(status)s
            AND created_at >= %(created_after)s AND (created_at, key) < (%(created)s, %(key)s)
        ORDER BY created_at DESC, key DESC LIMIT %(scanned)s
    ) AS scanned
) AS found
WHERE matches OR place = %(scanned)s
ORDER BY created_at DESC, key DESC LIMIT %(limit)s

-- name: search_by_model
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (%(account)s::text IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = %(account)s AND named.batch_key = scanned.key
        ))
        AND (%(name)s::text IS NULL OR name = %(name)s) AND (%(status)s::text IS NULL OR status = %(status)s)
        AND (%(model)s::text IS NULL OR model = %(model)s)
        AND (%(metadata)s::jsonb IS NULL OR CASE
            WHEN terms ~ '(^|[^\\])(\\\\)*\\u0000' THEN FALSE -- which jsonb cannot store
            ELSE terms::jsonb -> 'metadata' @> %(metadata)s::jsonb
        END) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = %(workspace)s AND deleted_at IS NULL AND model = %(model)s
            AND created_at >= %(created_after)s AND (created_at, key) < (%(created)s, %(key)s)
        ORDER BY created_at DESC, key DESC LIMIT %(scanned)s
    ) AS scanned
) AS found
WHERE matches OR place = %(scanned)s
ORDER BY created_at DESC, key DESC LIMIT %(limit)s

-- name: creation_of_batch
SELECT created_at FROM batches WHERE key = %(key)s
