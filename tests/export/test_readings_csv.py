"""The flat file says the same as the readings, and no spreadsheet can be made to run it."""

import argparse
import csv
import resource
from pathlib import Path

import pytest

from finished_run import MODEL_ID, RUN_ID, VIN, chars_of, make_run, reading, unreadable
from vin_batch.batch.ledger import load_run, save_run
from vin_batch.commands import export
from vin_batch.errors import DiskError, ExitCode, UsageError
from vin_batch.export.readings_csv import COLUMNS, restore, write_readings_csv
from vin_batch.records import Alternative, CheckDigitState, Status


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, strict=True))


def test_one_reading_in_full(tmp_path: Path) -> None:
    review = reading(
        "1987/ящик/картка_1",
        Status.REVIEW,
        raw_vin="XTA2?0130D0000007",
        confidence=0.1 + 0.2,
        check_digit=CheckDigitState.INVALID,
        changed=(5, 17),
        reasons=("low_confidence", "blank_boxes"),
        chars=chars_of("XTA2?0130D0000007", probs={17: 0.5}, issues={5: "blank", 9: "missing"}),
        alternatives=(Alternative("XTA210130D0000003", 0.0123), Alternative("1" * 17, 1e-9)),
    )
    path = write_readings_csv(make_run(tmp_path / "run", [[review]]).root)
    assert path == tmp_path / "run" / "readings.csv"
    (row,) = rows_of(path)
    assert tuple(row) == COLUMNS
    probs = ["0.99"] * 17
    probs[4] = probs[8] = ""
    probs[16] = "0.5"
    seconds = ["0.005"] * 17
    seconds[4] = seconds[8] = ""
    assert row == {
        "card_id": "1987/ящик/картка_1",
        "status": "review",
        "vin": VIN,
        "raw_vin": "XTA2?0130D0000007",
        "confidence": "0.30000000000000004",
        "check_digit": "invalid",
        "changed": "5;17",
        "reasons": "low_confidence;blank_boxes",
        "char_probs": ";".join(probs),
        "second_chars": "ZZZZ?ZZZ?ZZZZZZZZ",
        "second_probs": ";".join(seconds),
        "issues": "5:blank;9:missing",
        "alternatives": "XTA210130D0000003:0.0123;11111111111111111:1e-09",
        "wmi": "XTA",
        "maker": "AvtoVAZ",
        "country": "Russia",
        "model_years": "1983;2013",
        "model_id": MODEL_ID,
        "run_id": RUN_ID,
    }


def test_a_card_without_a_vin_has_empty_cells(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[unreadable("a", Status.FAILED, "no_boxes")]])
    (row,) = rows_of(write_readings_csv(run.root))
    assert (row["vin"], row["wmi"], row["maker"], row["model_years"]) == ("", "", "", "")
    assert row["raw_vin"] == "?" * 17
    assert row["char_probs"] == ";" * 16
    assert row["alternatives"] == ""


def test_rows_keep_the_order_of_the_plan_over_shards(tmp_path: Path) -> None:
    names = [f"card_{number}" for number in (3, 1, 2, 9, 8)]
    shards = [[reading(name) for name in names[:2]], [reading(name) for name in names[2:4]]]
    run = make_run(tmp_path / "run", [*shards, [reading(names[4])]])
    assert [row["card_id"] for row in rows_of(write_readings_csv(run.root))] == names


def test_lines_end_and_quote_as_in_rfc_4180(tmp_path: Path) -> None:
    awkward = ['say "x", y', "line\nbreak", "carriage\rreturn", "plain"]
    run = make_run(tmp_path / "run", [[reading(name) for name in awkward]])
    path = write_readings_csv(run.root)
    data = path.read_bytes()
    assert data.startswith(b"card_id,status,vin")
    assert data.endswith(b"\r\n")
    assert b'\r\n"say ""x"", y",accepted,' in data
    assert [row["card_id"] for row in rows_of(path)] == awkward


def test_formulas_are_defused_and_a_loader_gets_them_back(tmp_path: Path) -> None:
    names = ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\tx", " =1;=2", "'quoted", "safe=1"]
    run = make_run(tmp_path / "run", [[reading(name) for name in names]])
    cells = [row["card_id"] for row in rows_of(write_readings_csv(run.root))]
    assert cells == ["'" + name for name in names[:-1]] + ["safe=1"]
    assert [restore(cell) for cell in cells] == names


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a"), unreadable("b")]])
    first = write_readings_csv(run.root).read_bytes()
    assert write_readings_csv(run.root, tmp_path / "again.csv").read_bytes() == first


def test_an_unfinished_run_is_refused_unless_told(tmp_path: Path) -> None:
    shards = [[reading("a")], [reading("b")], [reading("c")]]
    run = make_run(tmp_path / "run", shards, unfinished=frozenset({1}))
    with pytest.raises(UsageError, match="2 of 3 shards"):
        write_readings_csv(run.root)
    assert not (run.root / "readings.csv").exists()
    path = write_readings_csv(run.root, tmp_path / "part.csv", partial=True)
    assert [row["card_id"] for row in rows_of(path)] == ["a", "c"]


def test_a_directory_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no run"):
        write_readings_csv(tmp_path)


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "receipt", "other_run"])
def test_damaged_readings_are_refused_and_an_old_file_is_kept(tmp_path: Path, damage: str) -> None:
    run = make_run(tmp_path / "run", [[reading("a")], [reading("b")]])
    old = write_readings_csv(run.root).read_bytes()
    part = run.readings(1)
    data = bytearray(part.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 1
        part.write_bytes(data)
    elif damage == "cut":
        part.write_bytes(data[:-20])
    elif damage == "remove":
        part.unlink()
    elif damage == "receipt":
        run.receipt(1).write_text("{}")
    else:
        text = run.receipt(1).read_text().replace(RUN_ID, "f" * 32)
        run.receipt(1).write_text(text)
    with pytest.raises(DiskError, match="part-00001"):
        write_readings_csv(run.root)
    assert (run.root / "readings.csv").read_bytes() == old
    assert not list(run.root.glob(".*"))


def test_memory_stays_flat(tmp_path: Path) -> None:
    # Thirty shards after the third may not need more memory than the first three did.
    shard = [reading(f"card_{number}") for number in range(300)]
    run = make_run(tmp_path / "few", [shard] * 3)
    write_readings_csv(run.root)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    many = make_run(tmp_path / "many", [shard] * 33)
    built = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    write_readings_csv(many.root)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - max(before, built) < 15 * 1024


def parse(*flags: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    export.add_parser(parser.add_subparsers())
    return parser.parse_args(["export", *flags])


def test_command_writes_where_it_is_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    assert export.execute(parse(str(run.root), "--to", "csv")) is ExitCode.DONE
    target = tmp_path / "elsewhere.csv"
    assert export.execute(parse(str(run.root), "--to", "csv", "-o", str(target))) is ExitCode.DONE
    assert target.read_bytes() == (run.root / "readings.csv").read_bytes()


def test_command_keeps_a_partial_file_out_of_the_run(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")], [reading("b")]], frozenset({0}))
    with pytest.raises(UsageError, match="needs -o"):
        export.execute(parse(str(run.root), "--to", "csv", "--partial"))
    part = tmp_path / "part.csv"
    export.execute(parse(str(run.root), "--to", "csv", "--partial", "-o", str(part)))
    assert [row["card_id"] for row in rows_of(part)] == ["b"]


def test_command_refuses_targets_it_does_not_know(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(str(tmp_path), "--to", "excel")
    assert caught.value.code == ExitCode.USAGE


def test_a_target_that_cannot_be_written_is_a_disk_error(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    save_run(run, load_run(run))
    with pytest.raises(DiskError, match="cannot write"):
        write_readings_csv(run.root, tmp_path / "nowhere" / "x.csv")
