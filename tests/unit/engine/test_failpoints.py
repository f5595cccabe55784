"""Failpoints: steps at which a test kills, pauses or fails the process."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.support import failpoints
from batchgate.engine.support.failpoints import VARIABLE, FailpointHit, arm_failpoints, hit_failpoint


@pytest.fixture(autouse=True)
def _disabled_afterwards() -> Iterator[None]:
    yield
    arm_failpoints({})


def test_a_disabled_failpoint_does_nothing() -> None:
    arm_failpoints({})
    for name in failpoints.NAMES:
        hit_failpoint(name)


def test_a_failpoint_acts_only_at_the_selected_hit() -> None:
    arm_failpoints({VARIABLE: "rows_written=raise:3"})
    for _ in range(2):
        hit_failpoint("rows_written")
        hit_failpoint("shard_claimed")
    with pytest.raises(FailpointHit, match="rows_written"):
        hit_failpoint("rows_written")
    hit_failpoint("rows_written")


def test_a_pause_creates_a_file_when_reached_and_ends_when_another_file_exists(tmp_path: Path) -> None:
    go = tmp_path / "go"
    arm_failpoints({VARIABLE: f"intake_spooled=raise:9, batch_marked=pause:{go}"})
    thread = Thread(target=hit_failpoint, args=("batch_marked",))
    thread.start()
    while not (tmp_path / "go.reached").exists():
        assert thread.is_alive()
    go.touch()
    thread.join(5.0)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "text", ["nowhere=kill", "rows_written", "rows_written=burn", "rows_written=pause", "rows_written=kill:often"]
)
def test_an_invalid_failpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match=VARIABLE):
        arm_failpoints({VARIABLE: text})
