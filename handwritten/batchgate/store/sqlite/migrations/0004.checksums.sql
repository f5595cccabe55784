-- SHA-256 of the result file.
ALTER TABLE batches ADD COLUMN results_sha256 BLOB;
