-- name: search_all
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (:account IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = :account AND named.batch_key = scanned.key
        ))
        AND (:name IS NULL OR name = :name) AND (:status IS NULL OR status = :status)
        AND (:model IS NULL OR model = :model)
        AND (:metadata IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(:metadata) AS wanted WHERE NOT EXISTS (
                SELECT 1 FROM json_each(terms, '$.metadata') AS pair
                WHERE pair.key = wanted.key AND pair.value = wanted.value
            )
        )) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = :workspace AND deleted_at IS NULL
            AND created_at >= :created_after AND (created_at, key) < (:created, :key)
        ORDER BY created_at DESC, key DESC LIMIT :scanned
    ) AS scanned
) AS found
WHERE matches OR place = :scanned
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: search_by_name
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (:account IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = :account AND named.batch_key = scanned.key
        ))
        AND (:name IS NULL OR name = :name) AND (:status IS NULL OR status = :status)
        AND (:model IS NULL OR model = :model)
        AND (:metadata IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(:metadata) AS wanted WHERE NOT EXISTS (
                SELECT 1 FROM json_each(terms, '$.metadata') AS pair
                WHERE pair.key = wanted.key AND pair.value = wanted.value
            )
        )) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = :workspace AND deleted_at IS NULL AND name = :name
            AND created_at >= :created_after AND (created_at, key) < (:created, :key)
        ORDER BY created_at DESC, key DESC LIMIT :scanned
    ) AS scanned
) AS found
WHERE matches OR place = :scanned
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: search_by_status
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (:account IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = :account AND named.batch_key = scanned.key
        ))
        AND (:name IS NULL OR name = :name) AND (:status IS NULL OR status = :status)
        AND (:model IS NULL OR model = :model)
        AND (:metadata IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(:metadata) AS wanted WHERE NOT EXISTS (
                SELECT 1 FROM json_each(terms, '$.metadata') AS pair
                WHERE pair.key = wanted.key AND pair.value = wanted.value
            )
        )) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = :workspace AND deleted_at IS NULL AND status = :status
            AND created_at >= :created_after AND (created_at, key) < (:created, :key)
        ORDER BY created_at DESC, key DESC LIMIT :scanned
    ) AS scanned
) AS found
WHERE matches OR place = :scanned
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: search_by_model
SELECT * FROM (
    SELECT *, row_number() OVER (ORDER BY created_at DESC, key DESC) AS place,
        (:account IS NULL OR EXISTS (
            SELECT 1 FROM batch_providers AS named
            WHERE named.workspace = scanned.workspace AND named.provider = :account AND named.batch_key = scanned.key
        ))
        AND (:name IS NULL OR name = :name) AND (:status IS NULL OR status = :status)
        AND (:model IS NULL OR model = :model)
        AND (:metadata IS NULL OR NOT EXISTS (
            SELECT 1 FROM json_each(:metadata) AS wanted WHERE NOT EXISTS (
                SELECT 1 FROM json_each(terms, '$.metadata') AS pair
                WHERE pair.key = wanted.key AND pair.value = wanted.value
            )
        )) AS matches
    FROM (
        SELECT * FROM batches
        WHERE workspace = :workspace AND deleted_at IS NULL AND model = :model
            AND created_at >= :created_after AND (created_at, key) < (:created, :key)
        ORDER BY created_at DESC, key DESC LIMIT :scanned
    ) AS scanned
) AS found
WHERE matches OR place = :scanned
ORDER BY created_at DESC, key DESC LIMIT :limit

-- name: creation_of_batch
SELECT created_at FROM batches WHERE key = :key
