"""A package holds every card once, exactly, and proves it; a damaged one is found out."""

import csv
import hashlib
import io
import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crash_tools import environment
from finished_run import VIN, make_run, reading, unreadable
from loader_runs import AMERICAN, HOSTILE, awkward, awkward_text, correct, correction, mixed
from vin_batch.batch.readings_schema import read_part, table_to_readings
from vin_batch.batch.rundir import RunDir
from vin_batch.errors import DiskError, UsageError
from vin_batch.export.contract import COLUMNS, CONTRACT, STATUSES
from vin_batch.export.csv_dialect import CsvDialect, cells, encode_rows, from_cells
from vin_batch.export.package import PackageOptions, export_package
from vin_batch.export.package_check import check_package
from vin_batch.export.rows import contract_rows, machine_rows
from vin_batch.export.shards import open_finished, read_time
from vin_batch.records import Alternative, CharReading, Reading, Status

ACCEPTED, REVIEW = "accepted", "review"


def rows(package: Path, part: str) -> list[dict[str, object]]:
    return list(pq.read_table(package / f"{part}.parquet").to_pylist())


def by_card(package: Path) -> dict[str, dict[str, object]]:
    both = rows(package, ACCEPTED) + rows(package, REVIEW)
    assert len({row["card_id"] for row in both}) == len(both)
    return {str(row["card_id"]): row for row in both}


def back(row: dict[str, object]) -> Reading:
    """The machine's reading, from a row of the contract."""
    values = {name: row[name] for name in Reading.__slots__ if name in row}
    values |= {"status": row["machine_status"], "vin": row["machine_vin"]}
    raw, seconds = str(row["raw_vin"]), str(row["second_chars"])
    issues = {text.partition(":")[0]: text.partition(":")[2] for text in row["issues"]}  # type: ignore[attr-defined]
    codes = [issues.get(str(position)) for position in range(1, 18)]
    lists = (row["char_probs"], row["second_probs"], codes)
    boxes = zip(raw, seconds, *lists, strict=True)  # type: ignore[call-overload]
    values["chars"] = tuple(
        CharReading(position, char, prob, None if second == "?" else second, second_prob, issue)
        for position, (char, second, prob, second_prob, issue) in enumerate(boxes, start=1)
    )
    pairs = zip(row["alternative_vins"], row["alternative_probs"], strict=True)  # type: ignore[call-overload]
    values["alternatives"] = tuple(Alternative(vin, prob) for vin, prob in pairs)
    for name in ("changed", "reasons", "model_years"):
        values[name] = tuple(values[name])  # type: ignore[arg-type]
    return Reading(**values)  # type: ignore[arg-type]


def machine_readings(run: RunDir) -> dict[str, Reading]:
    shards = open_finished(run.root).shards
    readings = [r for shard in shards for r in table_to_readings(read_part(run, shard))]
    return {reading.card_id: reading for reading in readings}


def test_every_card_is_in_one_of_two_files_with_every_value_exact(tmp_path: Path) -> None:
    names = [awkward(name, 1 / (3 + number)) for number, name in enumerate(HOSTILE)]
    run = make_run(tmp_path / "run", [mixed("1987", 26), names])
    outcome = export_package(run.root, tmp_path / "package")
    assert check_package(tmp_path / "package") == []
    exported = by_card(tmp_path / "package")
    assert {card: back(row) for card, row in exported.items()} == machine_readings(run)
    assert {row["status"] for row in rows(tmp_path / "package", ACCEPTED)} == {"accepted"}
    assert {row["source"] for row in exported.values()} == {"machine"}
    manifest = outcome.manifest
    assert manifest.cards == len(exported) == 26 + len(HOSTILE)
    assert sum(file.rows for file in manifest.files if file.name.endswith(".csv")) == manifest.cards
    assert manifest.statuses == {"accepted": 7, "failed": 6, "review": 33, "unreadable": 6}


def test_the_csv_says_the_same_to_any_reader_of_rfc_4180(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[awkward(name) for name in HOSTILE]])
    export_package(run.root, tmp_path / "package")
    path = tmp_path / "package" / "review.csv"
    data = path.read_bytes()
    assert data.startswith(b"card_id,status,vin,source,")
    assert data.endswith(b"\r\n")
    with path.open(newline="", encoding="utf-8") as file:
        flat = list(csv.DictReader(file, strict=True))
    assert [row["card_id"].removeprefix("'") for row in flat[3:]] == list(HOSTILE[3:])
    assert [row["card_id"] for row in flat[:3]] == ["'" + name for name in HOSTILE[:3]]
    assert flat[0]["confidence"] == "0.30000000000000004"
    assert flat[0]["issues"] == "5:blank;9:missing"
    assert flat[0]["alternative_probs"] == "0.14285714285714285;1e-9"
    assert flat[0]["model_years"] == "1983;2013"
    assert flat[0]["char_probs"].split(";")[2] == "0.33333334"


@given(
    st.lists(
        st.tuples(awkward_text, st.floats(0, 1), st.none() | awkward_text),
        min_size=1, max_size=4, unique_by=lambda row: row[0],
    )
)  # fmt: skip
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_cells_can_always_be_read_back(
    tmp_path_factory: pytest.TempPathFactory, cards: list[tuple[str, float, str | None]]
) -> None:
    run = make_run(tmp_path_factory.mktemp("run") / "run", [[awkward(c, p) for c, p, _ in cards]])
    finished = open_finished(run.root)
    receipt = finished.receipt(0)
    machine = machine_rows(finished.readings(receipt), read_time(finished.record, receipt), 0)
    said = {c: correction(c, VIN, note=note, reviewer=c) for c, _, note in cards if note}
    table = contract_rows(machine, said)
    assert from_cells(list(cells(table))).equals(table)
    for dialect in (CsvDialect(), CsvDialect(";"), CsvDialect("\t")):
        text = encode_rows(table, dialect).decode()
        read = list(csv.reader(io.StringIO(text, newline=""), delimiter=dialect.delimiter))
        assert from_cells(read).equals(table)


def test_parquet_has_the_contract_and_says_its_version(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    export_package(run.root, tmp_path / "package")
    for part in (ACCEPTED, REVIEW):
        schema = pq.read_schema(tmp_path / "package" / f"{part}.parquet")
        assert schema.equals(CONTRACT)
        assert schema.metadata[b"vin_batch.export_contract"] == b"1"
    manifest = json.loads((tmp_path / "package" / "manifest.json").read_bytes())
    assert [column["name"] for column in manifest["columns"]] == [c.name for c in COLUMNS]


def test_people_decide_before_the_machine(tmp_path: Path) -> None:
    cards = [reading("a"), awkward("b"), unreadable("c"), awkward("d"), reading("e")]
    run = make_run(tmp_path / "run", [cards])
    shared = tmp_path / "shared"
    shared.mkdir()
    correct(run.root, correction("b", AMERICAN, note="frame"), correction("d", None))
    correct(shared, correction("c", VIN), correction("other", VIN))
    options = PackageOptions(corrections=(shared,))
    outcome = export_package(run.root, tmp_path / "package", options)
    assert check_package(tmp_path / "package") == []
    exported = by_card(tmp_path / "package")
    b = exported["b"]
    assert (b["status"], b["vin"], b["source"]) == ("confirmed", AMERICAN, "person")
    assert (b["reviewer"], b["note"], b["check_digit"]) == ("i.petrova", "frame", "valid")
    assert (b["wmi"], b["country"]) == ("1G4", "United States")
    assert {row["card_id"] for row in rows(tmp_path / "package", ACCEPTED)} == {"a", "b", "c", "e"}
    d = exported["d"]
    assert (d["status"], d["vin"], d["source"], d["wmi"]) == ("unreadable", None, "person", None)
    assert {card: back(row) for card, row in exported.items() if card in "ae"} == {
        card: r for card, r in machine_readings(run).items() if card in "ae"
    }
    assert (exported["d"]["machine_vin"], exported["d"]["machine_status"]) == (VIN, "review")
    assert outcome.manifest.sources == {"machine": 2, "person": 3}
    assert (outcome.manifest.corrections["known"], outcome.manifest.corrections["applied"]) == (
        4,
        3,
    )


def test_the_same_work_gives_the_same_bytes_and_a_second_export_changes_nothing(
    tmp_path: Path,
) -> None:
    run = make_run(tmp_path / "run", [mixed("x", 8), mixed("y", 3)])
    assert export_package(run.root, tmp_path / "one").written
    assert export_package(run.root, tmp_path / "two").written
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == sorted(
        ["accepted.csv", "accepted.parquet", "manifest.json", "review.csv", "review.parquet"]
    )
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    before = (tmp_path / "one" / "manifest.json").stat()
    assert not export_package(run.root, tmp_path / "one").written
    assert (tmp_path / "one" / "manifest.json").stat().st_ino == before.st_ino
    assert not list(tmp_path.glob(".*"))


def test_another_package_is_replaced_only_when_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[awkward("a")]])
    export_package(run.root, tmp_path / "package")
    old = (tmp_path / "package" / "manifest.json").read_bytes()
    correct(run.root, correction("a", VIN))
    with pytest.raises(UsageError, match="another package"):
        export_package(run.root, tmp_path / "package")
    assert (tmp_path / "package" / "manifest.json").read_bytes() == old
    assert export_package(run.root, tmp_path / "package", PackageOptions(replace=True)).written
    assert by_card(tmp_path / "package")["a"]["source"] == "person"
    assert not list(tmp_path.glob(".*"))


def test_a_directory_that_is_no_package_is_never_touched(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    home = tmp_path / "home"
    home.mkdir()
    (home / "precious").write_text("x")
    with pytest.raises(UsageError, match="no package"):
        export_package(run.root, home, PackageOptions(replace=True))
    with pytest.raises(UsageError, match="no directory"):
        export_package(run.root, tmp_path / "nowhere" / "package")
    assert (home / "precious").read_text() == "x"


def test_older_loaders_get_their_dialect(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("1987/ящик_1", maker="АвтоВАЗ")]])
    options = PackageOptions(dialect=CsvDialect(";", "cp1251"))
    export_package(run.root, tmp_path / "package", options)
    data = (tmp_path / "package" / "accepted.csv").read_bytes()
    assert data.startswith(b"card_id;status;vin")
    assert "1987/ящик_1".encode("cp1251") in data
    assert check_package(tmp_path / "package") == []


def test_what_an_encoding_lacks_is_refused_before_anything_is_published(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")], [reading("коробка/é")]])
    options = PackageOptions(dialect=CsvDialect(";", "cp1251"))
    with pytest.raises(UsageError, match=r"card 'коробка/é': card_id holds 'é' \(U\+00E9\)"):
        export_package(run.root, tmp_path / "package", options)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.parametrize("dialect", [CsvDialect("a"), CsvDialect(encoding="utf-16"),
                                     CsvDialect(encoding="klingon"), CsvDialect("")])  # fmt: skip
def test_dialects_that_no_loader_reads_are_refused(tmp_path: Path, dialect: CsvDialect) -> None:
    run = make_run(tmp_path / "run", [[reading("a")]])
    with pytest.raises(UsageError):
        export_package(run.root, tmp_path / "package", PackageOptions(dialect=dialect))


def test_an_unfinished_run_is_refused_unless_told(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")], [reading("b")]], frozenset({0}))
    with pytest.raises(UsageError, match="1 of 2 shards"):
        export_package(run.root, tmp_path / "package")
    outcome = export_package(run.root, tmp_path / "package", PackageOptions(partial=True))
    assert (outcome.manifest.complete, outcome.manifest.cards_planned) == (False, 2)
    assert list(by_card(tmp_path / "package")) == ["b"]
    assert check_package(tmp_path / "package") == []


def test_damaged_readings_publish_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", [[reading("a")], [reading("b")]])
    data = bytearray(run.readings(1).read_bytes())
    data[len(data) // 2] ^= 1
    run.readings(1).write_bytes(data)
    with pytest.raises(DiskError, match="part-00001"):
        export_package(run.root, tmp_path / "package")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def forge(package: Path, change: Callable[[str], str], name: str = "review.csv") -> None:
    """Change a file and make the manifest agree with it."""
    path = package / name
    path.write_bytes(change(path.read_bytes().decode()).encode())
    manifest = json.loads((package / "manifest.json").read_bytes())
    for file in manifest["files"]:
        if file["name"] == name:
            file["bytes"] = path.stat().st_size
            file["sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    (package / "manifest.json").write_text(json.dumps(manifest))


def recount(package: Path) -> None:
    path = package / "manifest.json"
    path.write_text(path.read_text().replace('"cards": 6', '"cards": 7'))


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "bit": (lambda p: flip(p / "review.csv"), "another sha256"),
    "parquet bit": (lambda p: flip(p / "accepted.parquet"), "another sha256"),
    "cut": (lambda p: (p / "review.csv").write_bytes(b""), "0 bytes instead"),
    "gone": (lambda p: (p / "accepted.parquet").unlink(), "is missing"),
    "stray": (lambda p: (p / "more.csv").write_text(""), "not part of"),
    "manifest": (lambda p: (p / "manifest.json").write_text("{"), "manifest.json"),
    "count": (recount, "rows by status"),
    "digit": (lambda p: forge(p, lambda text: text.replace("D0000002", "D0000003", 1)),
              "different rows"),
    "line": (lambda p: forge(p, lambda text: text + text.splitlines()[1] + "\r\n"),
             "more than"),
    "short": (lambda p: forge(p, lambda text: text.partition("\r\n")[0] + "\r\n"),
              "different rows"),
    "header": (lambda p: forge(p, lambda text: text.replace("card_id", "card", 1)), "header"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_check_finds_damage(tmp_path: Path, damage: str) -> None:
    run = make_run(tmp_path / "run", [mixed("x", 6)])
    package = tmp_path / "package"
    export_package(run.root, package)
    act, message = DAMAGES[damage]
    act(package)
    findings = check_package(package)
    assert findings
    assert message in " ".join(findings)


def test_check_refuses_what_is_no_package(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no package"):
        check_package(tmp_path)


CRASHING = """
import sys
from pathlib import Path
from vin_batch.export.package import PackageOptions, export_package
export_package(Path(sys.argv[1]), Path(sys.argv[2]), PackageOptions(replace=True))
"""


@pytest.mark.parametrize("point", ["directory:synced", "directory:aside", "directory:renamed"])
def test_a_kill_leaves_a_whole_package_or_none(tmp_path: Path, point: str) -> None:
    run = make_run(tmp_path / "run", [[awkward("a"), reading("b")]])
    package = tmp_path / "package"
    export_package(run.root, package)
    correct(run.root, correction("a", VIN))
    command = [sys.executable, "-c", CRASHING, str(run.root), str(package)]
    killed = subprocess.run(
        command, env=environment(VIN_BATCH_CRASH_AT=f"{point}:1"), check=False, timeout=60
    )
    assert killed.returncode == 137
    old = tmp_path / ".package.old"
    assert check_package(package if package.exists() else old) == []
    again = subprocess.run(command, env=environment(), check=False, timeout=60)
    assert again.returncode == 0
    assert by_card(package)["a"]["source"] == "person"
    assert not list(tmp_path.glob(".*"))


def test_memory_stays_flat(tmp_path: Path) -> None:
    shard = [reading(f"card_{number}") for number in range(300)]
    few = make_run(tmp_path / "few", [shard] * 3)
    export_package(few.root, tmp_path / "first")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    many = make_run(tmp_path / "many", [shard] * 33)
    built = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    export_package(many.root, tmp_path / "second")
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - max(before, built) < 25 * 1024


def test_statuses_of_the_contract_are_those_of_the_records() -> None:
    assert set(STATUSES) == {status.value for status in Status} | {"confirmed"}
    assert pa.types.is_list(CONTRACT.field("issues").type)
