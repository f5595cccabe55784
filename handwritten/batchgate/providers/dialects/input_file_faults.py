"""The faults of an input file, in bounded memory."""

from __future__ import annotations

from typing import Final

from batchgate.engine.model.batch import InputFault
from batchgate.engine.model.decoding_errors import (
    DecodingError,
    describe_decoding_error,
    find_lone_surrogate,
    is_utf8_error,
)

MAX_MESSAGE_CHARACTERS: Final = 256 * 1024
"""Total characters of detailed fault messages; later faults get a short one, as each request may have a fault."""
SHORT_FAULT: Final = "This line is invalid too; details are given only for earlier lines."
MAX_QUOTED: Final = 200
"""Maximum number of characters that a message quotes from the file."""


class InputFileFaults:
    """The faults that were found so far, in the order of the lines."""

    def __init__(self) -> None:
        self.found: list[InputFault] = []
        self._characters = 0

    def add_to_line(self, line: int, custom_id: str | None, code: str, message: str, param: str | None = None) -> None:
        """Add the fault of a line, without details once `MAX_MESSAGE_CHARACTERS` are used up."""
        custom_id = None if custom_id is None else shortened(custom_id)
        self._characters += len(message)
        if self._characters > MAX_MESSAGE_CHARACTERS:
            message, param = SHORT_FAULT, None
        self.found.append(InputFault(code=code, message=message, param=param, line=line, custom_id=custom_id))

    def add_to_file(self, code: str, message: str) -> None:
        """Add a fault of the file as a whole."""
        self.found.append(InputFault(code=code, message=message))


def shortened(text: str) -> str:
    """Return a text from the file as messages quote it."""
    return text if len(text) <= MAX_QUOTED else f"{text[: MAX_QUOTED - 1]}…"


def json_fault(line: bytes, error: DecodingError) -> str:
    """Say why a line is no JSON."""
    if is_utf8_error(error):
        return "It is not UTF-8"
    if surrogate := find_lone_surrogate(line):
        return f"{surrogate[1]} is a lone surrogate, half of a character (byte {surrogate[0]})"
    reason = describe_decoding_error(error).message.removeprefix("Invalid JSON: ")
    return shortened(f"{reason[0].upper()}{reason[1:]}")
