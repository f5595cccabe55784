"""The tests of Batchgate; see ARCHITECTURE.md, "Tests"."""
