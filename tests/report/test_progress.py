"""Progress: a bar on a terminal, few lines elsewhere, honest numbers."""

import io
import logging
import sys

import pytest

from vin_batch.report.progress import LOG_SECONDS, Progress


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    """A stderr that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_lines_come_at_most_every_so_often(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    with caplog.at_level(logging.INFO, "vin_batch"), Progress(1000, 0, False, clock) as progress:
        for _ in range(10):
            clock.now += LOG_SECONDS / 4
            progress.shard_done({"accepted": 8, "review": 2}, 10)
        assert len(caplog.records) == 2
    assert len(caplog.records) == 3  # and one at the end


def test_a_line_says_how_far_and_how_fast() -> None:
    clock = Clock()
    progress = Progress(1000, already_done=400, enabled=False, clock=clock)
    clock.now = 10.0
    progress.shard_done({"accepted": 75, "review": 20, "failed": 5}, 100)
    assert progress.line() == (
        "500 of 1000 cards (50.0%), 10 cards/s, 50 s left, accepted 75.0%, review 20.0%"
    )


def test_long_waits_are_told_in_hours() -> None:
    clock = Clock()
    progress = Progress(100_000, enabled=False, clock=clock)
    clock.now = 100.0
    progress.shard_done({"accepted": 1000}, 1000)
    assert "2 h 45 min left" in progress.line()


def test_a_run_without_cards_or_time_has_a_line() -> None:
    assert "unknown time left" in Progress(0, enabled=False, clock=Clock()).line()


def test_nothing_done_means_no_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "vin_batch"), Progress(5, 5, False, Clock()):
        pass
    assert not caplog.records


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with Progress(10, already_done=5) as progress:
        progress.shard_done({"accepted": 4, "review": 1}, 5)
    drawn = terminal.getvalue()
    assert "10/10" in drawn
    assert "accepted 80.0%" in drawn
    assert "cards/s" in drawn


def test_no_terminal_gets_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    with Progress(10) as progress:
        progress.shard_done({"accepted": 10}, 10)
    assert "\r" not in plain.getvalue()
