"""Takes batches in: writes the input file of a create, or validates the file that a batch is made from."""
