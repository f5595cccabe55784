"""What callers do with batches and files, and what time does to them."""
