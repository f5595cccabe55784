"""Invalid calls to the unified surface for batches."""
