"""Places where a test makes the process die, wait or fail."""

from collections.abc import Iterator
from pathlib import Path
from threading import Thread

import pytest

from batchgate.engine.model.errors import ConfigurationError
from batchgate.engine.support import failpoints
from batchgate.engine.support.failpoints import VARIABLE, FailpointHit, arm, hit


@pytest.fixture(autouse=True)
def _off_again() -> Iterator[None]:
    yield
    arm({})


def test_nothing_happens_unless_it_was_asked_for() -> None:
    arm({})
    for name in failpoints.NAMES:
        hit(name)


def test_only_the_hit_that_was_chosen_counts() -> None:
    arm({VARIABLE: "rows_written=raise:3"})
    for _ in range(2):
        hit("rows_written")
        hit("shard_claimed")
    with pytest.raises(FailpointHit, match="rows_written"):
        hit("rows_written")
    hit("rows_written")


def test_a_pause_says_that_it_was_reached_and_ends_when_its_file_is_there(tmp_path: Path) -> None:
    go = tmp_path / "go"
    arm({VARIABLE: f"intake_spooled=raise:9, batch_marked=pause:{go}"})
    thread = Thread(target=hit, args=("batch_marked",))
    thread.start()
    while not (tmp_path / "go.reached").exists():
        assert thread.is_alive()
    go.touch()
    thread.join(5.0)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    "text", ["nowhere=kill", "rows_written", "rows_written=burn", "rows_written=pause", "rows_written=kill:often"]
)
def test_what_is_not_a_failpoint_is_refused_by_name(text: str) -> None:
    with pytest.raises(ConfigurationError, match=VARIABLE):
        arm({VARIABLE: text})
