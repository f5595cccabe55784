"""The values that the engine works on; no module here does I/O."""
