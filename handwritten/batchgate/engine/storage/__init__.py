"""Reading and writing blobs: hashing, integrity checks, and removal of blobs without an owner."""
