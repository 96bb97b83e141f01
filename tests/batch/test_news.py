"""Log lines about cards name the card and its shard."""

from __future__ import annotations

import logging

import pytest

from finished_run import reading, unreadable
from vin_batch.batch.news import MAX_FAILED, tell_errors, tell_failed
from vin_batch.records import Status


def test_failed_cards_are_named_up_to_a_number(caplog: pytest.LogCaptureFixture) -> None:
    failed = [unreadable(f"f{number}", Status.FAILED) for number in range(MAX_FAILED + 3)]
    tell_failed(7, [reading("a"), unreadable("b"), *failed])
    assert [record.__dict__.get("card_id") for record in caplog.records] == [
        *(f"f{number}" for number in range(MAX_FAILED)), None,
    ]  # fmt: skip
    assert {record.__dict__["shard"] for record in caplog.records} == {7}
    assert caplog.records[0].message == "card failed: 17 boxes blank"
    assert caplog.records[-1].message == "3 more cards of this shard failed"
    assert all(record.levelno == logging.WARNING for record in caplog.records)


def test_a_shard_without_failures_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    tell_failed(7, [reading("a"), unreadable("b")])
    assert not caplog.records


def test_errors_find_their_card(caplog: pytest.LogCaptureFixture) -> None:
    errors = ["a: b: ValueError('x')", "gone: OSError()"]
    tell_errors(7, errors, ["a", "a: b", "c"], logging.ERROR)
    assert [record.__dict__.get("card_id") for record in caplog.records] == ["a: b", None]
    assert caplog.records[0].message == "card a: b: ValueError('x')"
    assert caplog.records[0].levelno == logging.ERROR
