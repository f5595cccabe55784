"""Where batches, shards and chunks are kept: implementations of the engine's `Store`."""
