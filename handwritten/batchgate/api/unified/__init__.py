"""The unified surface: files of every provider in one shape."""
