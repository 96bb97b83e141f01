"""The log: stderr, one line per event, no VIN above DEBUG."""

import json
import logging
from collections.abc import Iterator

import pytest

from vin_batch.errors import UsageError
from vin_batch.report.logs import HIDDEN, configure_logging

VIN = "XTA210130D0000002"
logger = logging.getLogger("vin_batch.batch.test")


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    package = logging.getLogger("vin_batch")
    handlers, level, propagate = package.handlers[:], package.level, package.propagate
    yield
    package.handlers[:], package.propagate = handlers, propagate
    package.setLevel(level)


def test_text_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    logger.info("read %d cards", 3)
    logger.debug("too fine")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.endswith("+00:00 INFO batch.test: read 3 cards\n")
    assert err.count("\n") == 1


def test_configuring_twice_does_not_double_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    configure_logging("info")
    logger.warning("once")
    assert capsys.readouterr().err.count("once") == 1


def test_an_unknown_level_is_a_usage_error() -> None:
    before = logging.getLogger("vin_batch").handlers[:]
    with pytest.raises(UsageError, match="loud"):
        configure_logging("loud")
    assert logging.getLogger("vin_batch").handlers == before


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_an_event_is_one_line_whatever_it_holds(
    capsys: pytest.CaptureFixture[str], log_format: str
) -> None:
    configure_logging("info", "json" if log_format == "json" else "text")
    try:
        raise ValueError("first\nsecond")
    except ValueError:
        logger.exception("card %s", "evil\r\nname\x1b[31m")
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\r" not in err
    assert "\x1b" not in err
    assert "ValueError" in err


def test_json_lines_carry_fields(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logger.info("shard done", extra={"shard": 7, "took": 1.5, "where": "box_1"})
    event = json.loads(capsys.readouterr().err)
    assert event["message"] == "shard done"
    assert event["level"] == "INFO"
    assert event["logger"] == "vin_batch.batch.test"
    assert (event["shard"], event["took"], event["where"]) == (7, 1.5, "box_1")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_vins_are_hidden_above_debug(capsys: pytest.CaptureFixture[str], log_format: str) -> None:
    configure_logging("debug", "json" if log_format == "json" else "text")
    logger.info("card %s reads %s", "box/" + VIN, VIN, extra={"best": VIN})
    err = capsys.readouterr().err
    assert VIN not in err
    assert err.count(HIDDEN) == (3 if log_format == "json" else 2)
    logger.debug("reads %s", VIN)
    assert VIN in capsys.readouterr().err


def test_a_vin_in_a_traceback_is_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    try:
        raise ValueError(f"cannot read {VIN}")
    except ValueError:
        logger.exception("failed")
    err = capsys.readouterr().err
    assert "ValueError" in err
    assert VIN not in err


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567",  # a number of another register
        "0123456789abcdef0123456789abcdef",  # a run id
        "xta210130d0000002x",
        "tiny@0123456789ab",
        "ABCDEFGHJKLMNPRST",  # seventeen letters
    ],
)
def test_other_words_stay(capsys: pytest.CaptureFixture[str], text: str) -> None:
    configure_logging("info")
    logger.info("about %s", text)
    assert text in capsys.readouterr().err
