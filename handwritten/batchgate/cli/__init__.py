"""The command line ``batchgate``: one module for each group of commands, loaded when one of them is used."""

from batchgate.cli.commands import main

__all__ = ["main"]
