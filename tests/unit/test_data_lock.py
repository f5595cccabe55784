"""The data folder of a process: it is closed to other users, also if it was there before."""

import stat
from pathlib import Path

import pytest

from batchgate.data_lock import exclusive_folder


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750, 0o701, 0o700, None])
def test_a_data_folder_is_closed_to_other_users(tmp_path: Path, mode: int | None) -> None:
    folder = tmp_path / "data"
    if mode is not None:
        folder.mkdir()
        folder.chmod(mode)
    with exclusive_folder(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
