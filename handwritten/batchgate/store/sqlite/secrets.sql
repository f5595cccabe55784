-- name: put_secret
INSERT INTO secrets (name, ciphertext, created_at, updated_at) VALUES (:name, :ciphertext, :now, :now)
ON CONFLICT (name) DO UPDATE SET ciphertext = excluded.ciphertext, updated_at = excluded.updated_at
RETURNING *

-- name: find_secret
SELECT * FROM secrets WHERE name = :name

-- name: list_secrets
SELECT * FROM secrets ORDER BY name

-- name: delete_secret
DELETE FROM secrets WHERE name = :name RETURNING name

-- name: reencrypt_secret
UPDATE secrets SET ciphertext = :new WHERE name = :name AND ciphertext = :old RETURNING name
