-- Keys of providers, encrypted with a master key that is not here.
CREATE TABLE secrets (
    name text PRIMARY KEY,
    ciphertext bytea NOT NULL,
    created_at bigint NOT NULL,
    updated_at bigint NOT NULL
);
