"""What a process writes is for its own user: prompts, answers and keys are nobody else's to read."""

from __future__ import annotations

import os
from typing import Final

FOR_OTHERS: Final = 0o077
"""What other users of the machine may not do with a new file or folder: anything."""


def restrict_umask() -> None:
    """Close every file that this process makes from now on to other users, whoever in it makes them."""
    os.umask(FOR_OTHERS)
