"""Runs the command line: ``python -m batchgate``."""

from batchgate.cli import main

main(prog_name="batchgate")
