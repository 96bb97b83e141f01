"""The log: stderr, one line per event, no VIN above DEBUG."""

import json
import logging
import threading
import warnings
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vin_batch.batch.about import about, note
from vin_batch.errors import UsageError
from vin_batch.report.logs import (
    HIDDEN,
    RUN_ID_SHOWN,
    JsonFormatter,
    TextFormatter,
    configure_logging,
    log_format,
    say,
)
from vin_batch.vin.alphabet import ALPHABET

VIN = "XTA210130D0000002"
RUN = "0123456789abcdef0123456789abcdef"
logger = logging.getLogger("vin_batch.batch.test")


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


@pytest.mark.parametrize(
    "text",
    [
        VIN.lower(),
        "XTA21?130D00?0002",  # a box gave nothing
        "XTA21O130D000000Z".replace("O", "0"),  # read wrongly: a letter at the end
        f"card{VIN}",
        f"{VIN}_01.png",
        f"card_{VIN}",
    ],
)
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_may_be_a_vin_is_hidden(
    capsys: pytest.CaptureFixture[str], text: str, log_format: str
) -> None:
    configure_logging("info", "json" if log_format == "json" else "text")
    logger.info("about %s", text)
    err = capsys.readouterr().err
    assert HIDDEN in err
    assert text not in err


@given(st.lists(st.sampled_from(ALPHABET), min_size=17, max_size=17).map("".join))
def test_any_vin_with_a_letter_and_two_digits_is_hidden(vin: str) -> None:
    record = logging.makeLogRecord({"name": "x", "msg": f"a {vin} b", "levelno": logging.INFO})
    secret = any(c.isalpha() for c in vin) and sum(c.isdigit() for c in vin) >= 2
    assert (vin in TextFormatter().format(record)) is not secret


@given(st.text())
def test_any_text_is_one_line_and_valid_json(text: str) -> None:
    record = logging.makeLogRecord(
        {"name": "x", "msg": "%s", "args": (text,), "levelno": logging.INFO, "card_id": text}
    )
    line = JsonFormatter().format(record)
    assert len(line.splitlines()) == 1
    assert line.isprintable() or not text.isprintable()
    event = json.loads(line.encode())
    assert list(event)[:5] == ["time", "level", "logger", "message", "card_id"]
    assert len(TextFormatter().format(record).splitlines()) == 1


def test_a_file_name_that_is_not_utf_8_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logger.info("card %s", b"caf\xe9".decode("utf-8", "surrogateescape"))
    assert json.loads(capsys.readouterr().err)["message"] == "card caf\\udce9"


def test_lines_say_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    logger.info("too early")
    note(run_id=RUN)
    with about(shard=7, card_id="1987/box_1/card_2"):
        logger.info("inside")
        logger.info("of its own", extra={"shard": 8})
    logger.info("outside")
    early, inside, own, outside = map(json.loads, capsys.readouterr().err.splitlines())
    assert not {"run_id", "shard", "card_id"} & early.keys()
    assert (inside["run_id"], inside["shard"]) == (RUN, 7)
    assert inside["card_id"] == own["card_id"] == "1987/box_1/card_2"
    assert own["shard"] == 8
    assert outside["run_id"] == RUN
    assert "shard" not in outside


def test_text_lines_say_it_too(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info")
    note(run_id=RUN)
    logger.warning("lost", extra={"shard": 7})
    assert capsys.readouterr().err.endswith(
        f" WARNING batch.test: lost (run={RUN[:RUN_ID_SHOWN]} shard=7)\n"
    )


def test_a_thread_takes_its_subject_along(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", "json")
    note(run_id=RUN)
    with about(shard=7):
        context = copy_context()
    with about(shard=8):
        thread = threading.Thread(target=context.run, args=(logger.info, "from a thread"))
        thread.start()
        thread.join()
    event = json.loads(capsys.readouterr().err)
    assert (event["run_id"], event["shard"]) == (RUN, 7)


def test_an_unknown_subject_is_a_defect() -> None:
    with pytest.raises(AssertionError, match="vin"):
        note(vin=VIN)


def test_other_loggers_and_warnings_come_in_the_same_format(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configure_logging("info", "json")
    logging.getLogger("tensorflow").warning("too many\nretracings")
    logging.getLogger("tensorflow").info("chatter")
    warnings.warn("old\nfunction", stacklevel=1)
    events = list(map(json.loads, capsys.readouterr().err.splitlines()))
    assert [event["logger"] for event in events] == ["tensorflow", "py.warnings"]
    assert "old" in events[1]["message"]


def test_words_for_people_are_events_where_the_log_is_json(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert log_format() is None
    say("wrote plain.csv")
    assert capsys.readouterr().err == "wrote plain.csv\n"
    configure_logging("info", "json")
    assert log_format() == "json"
    say("wrote plain.csv")
    assert json.loads(capsys.readouterr().err)["message"] == "wrote plain.csv"
