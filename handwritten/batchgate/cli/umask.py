"""The umask of the process: prompts, answers and keys must not be readable by other users of the machine."""

from __future__ import annotations

import os
from typing import Final

NO_ACCESS_FOR_OTHERS: Final = 0o077
"""Removes all permissions of group and others from new files and folders."""


def restrict_umask() -> None:
    """Make every file that this process creates from now on private to its user."""
    os.umask(NO_ACCESS_FOR_OTHERS)
