-- How often a caller has moved a batch to another lane: a plan that was begun before such a move is not stored.
ALTER TABLE batches ADD COLUMN lane_changes bigint NOT NULL DEFAULT 0;
