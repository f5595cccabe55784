"""The data folder of a process: it is closed to other users, also if it was there before."""

import fcntl
import stat
from pathlib import Path

import pytest

from batchgate.data_lock import LOCK_FILE, exclusive_folder, is_locked
from batchgate.engine.model.errors import ConfigurationError


@pytest.mark.parametrize("mode", [0o755, 0o777, 0o750, 0o701, 0o700, None])
def test_a_data_folder_is_closed_to_other_users(tmp_path: Path, mode: int | None) -> None:
    folder = tmp_path / "data"
    if mode is not None:
        folder.mkdir()
        folder.chmod(mode)
    with exclusive_folder(folder):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_folder_is_locked_although_another_process_looks_at_its_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process does what `is_locked` does, and is interrupted in the middle of it."""
    with exclusive_folder(tmp_path), pytest.raises(ConfigurationError, match="is in use"), exclusive_folder(tmp_path):
        pass
    with (tmp_path / LOCK_FILE).open() as looking:
        fcntl.flock(looking, fcntl.LOCK_SH | fcntl.LOCK_NB)
        monkeypatch.setattr("time.sleep", lambda _: looking.close())
        with exclusive_folder(tmp_path):
            assert is_locked(tmp_path)
    assert not is_locked(tmp_path)
