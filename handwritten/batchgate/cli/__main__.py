"""Runs the command line: ``python -m batchgate.cli``."""

from batchgate.cli import main

main(prog_name="batchgate")
