"""Results of batches: writes the result file at the end, and serves results in any dialect before and after it."""
