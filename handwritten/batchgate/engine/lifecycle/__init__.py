"""The life of batches and files: creation, cancellation, deletion and expiry."""
