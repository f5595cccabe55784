"""Result files: written when a batch ends, read before that, rendered in any dialect."""
