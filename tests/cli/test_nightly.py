"""``vin-batch nightly`` and ``catalogue`` through the command line."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from batch_fakes import make_archive, make_card
from crash_tools import environment
from night_fakes import current_rows, night, night_config, night_toml, nights_of
from postgres_server import new_schema, shared_server
from tiny_model import write_box
from vin_batch.batch.lock import hold
from vin_batch.errors import ExitCode, UsageError
from vin_batch.export.postgres_connection import Destination
from vin_batch.export.postgres_schema import init
from vin_batch.nightly.settings import load_night_config

PROJECT = Path(__file__).parents[2]
GUARD = """
import sys

class Guard:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise AssertionError(f"{{name}} was imported")

sys.meta_path.insert(0, Guard())
sys.argv[0] = "vin-batch"
from vin_batch.cli import main
sys.exit(main())
"""


def vin_batch(*arguments: object, without: tuple[str, ...]) -> subprocess.CompletedProcess[str]:
    """The command line, with some imports forbidden."""
    code = GUARD.format(heavy=without)
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        env=environment(), capture_output=True, text=True, timeout=110, check=False,
    )  # fmt: skip


HEAVY = ("tensorflow", "keras")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("nightly")
    make_archive(base / "archive", 6)
    night(base)
    return base


@pytest.fixture
def base(first: Path, tmp_path: Path) -> Path:
    shutil.copytree(first, tmp_path, dirs_exist_ok=True, copy_function=shutil.copy2)
    return tmp_path


def test_a_night_without_work_loads_no_model(base: Path) -> None:
    metrics = base / "vin.prom"
    config = night_toml(base, run=f'shard_size = 4\ntextfile = "{metrics}"')
    done = vin_batch("nightly", "--config", config, without=HEAVY)
    assert done.returncode == ExitCode.DONE, done.stderr
    assert done.stdout == ""
    assert "read: nothing; known and unchanged: 6" in done.stderr
    assert "catalogue: 6 cards, 0 of them missing" in done.stderr
    summary = json.loads(nights_of(base).summary("000002").read_text())
    assert (summary["found"]["known"], summary["exit_code"]) == (6, 0)
    assert "vin_batch_last_run_exit_code" in metrics.read_text()
    assert 'state="missing"} 0' in metrics.read_text()


def test_exit_codes_of_nights(base: Path) -> None:
    config = night_toml(base)
    with hold(nights_of(base).lock):
        assert vin_batch("nightly", "--config", config, without=HEAVY).returncode == 9
    shutil.rmtree(base / "archive")
    done = vin_batch("nightly", "--config", config, without=HEAVY)
    assert done.returncode == ExitCode.ARCHIVE
    assert "does not exist" in done.stderr


def test_catalogue_shows_rebuilds_and_writes_what_is_current(base: Path) -> None:
    nights, heavy = nights_of(base), (*HEAVY, "cv2")
    done = vin_batch("catalogue", nights.root, "--json", without=heavy)
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert (numbers["cards"], numbers["statuses"], numbers["missing"]) == (6, {"review": 6}, 0)
    kept = pq.read_table(nights.catalogue)
    nights.catalogue.write_bytes(b"PAR1")
    table = base / "current.parquet"
    done = vin_batch("catalogue", nights.root, "--rebuild", "--current", table, without=heavy)
    assert done.returncode == 0, done.stderr
    assert "cards     6" in done.stdout
    assert pq.read_table(nights.catalogue).equals(kept)
    cards = list(current_rows(base))
    assert pq.read_table(table).column("card_id").to_pylist() == cards
    nights.catalogue.write_bytes(b"")
    done = vin_batch("catalogue", nights.root, without=heavy)
    assert (done.returncode, "making the catalogue again" in done.stderr) == (0, True)
    assert vin_batch("catalogue", base / "archive", without=heavy).returncode == 2


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_two_nights_with_a_real_model(tmp_path: Path, tiny_model: Path) -> None:
    vin = "XTA210990Y2765432"
    for position, character in enumerate(vin, start=1):
        write_box(tmp_path / "archive" / "old" / f"{position:02d}.png", character)
    config = _with_model(night_toml(tmp_path, exports=[NO_SERVER]), tiny_model)
    away = vin_batch("nightly", "--config", config, without=())
    assert away.returncode == ExitCode.DISK, away.stderr
    assert "export register FAILED" in away.stderr
    assert list(current_rows(tmp_path)) == ["old"]
    write_box(tmp_path / "archive" / "old" / "05.png", "8")
    make_card(tmp_path / "archive" / "torn", 1)
    for box in (tmp_path / "archive" / "torn").iterdir():
        box.write_bytes(b"no image")
    with register() as (target, register_rows):
        config = _with_model(night_toml(tmp_path, exports=[target]), tiny_model)
        done = vin_batch("nightly", "--config", config, without=())
        found = register_rows()
    assert done.returncode == ExitCode.FINISHED_WITH_FAILURES, done.stderr
    assert "read: 1 new, 1 changed; known and unchanged: 0" in done.stderr
    assert "export register: 3 cards of 2 runs" in done.stderr
    assert vin not in done.stderr
    current = current_rows(tmp_path)
    assert found == {
        (name, row["status"], row["vin"] or None, row["raw_vin"], row["run_id"])
        for name, row in current.items()
    }
    rows = current_rows(tmp_path)
    assert [rows[card]["status"] == "failed" for card in ("old", "torn")] == [False, True]
    with (nights_of(tmp_path).run("000002").root / "readings.csv").open(newline="") as file:
        assert [row["card_id"] for row in csv.DictReader(file)] == ["old", "torn"]


def _with_model(config: Path, model: Path) -> Path:
    config.write_text(config.read_text().replace('model = "model"', f'model = "{model}"'))
    return config


NO_SERVER = {"to": "postgresql://nobody@127.0.0.1:1/none", "retries": 1, "name": "register"}


@contextmanager
def register() -> Iterator[tuple[dict[str, object], Callable[[], set[tuple[object, ...]]]]]:
    """An empty register as an export, and what it holds."""
    server = shared_server()
    parts = dict(word.split("=", 1) for word in server.dsn.split())
    query = "&".join(f"{name}={value}" for name, value in parts.items())
    with new_schema(server) as schema:
        init(Destination(server.dsn, schema))

        def rows() -> set[tuple[object, ...]]:
            names = "card_id, status, vin, raw_vin, run_id"
            with server.connect() as connection:
                found = connection.execute(f"SELECT {names} FROM {schema}.readings".encode())
                return set(found.fetchall())

        yield {"to": f"postgresql://?{query}", "schema": schema, "name": "register"}, rows


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"detect": "smell"}, "detect 'smell'"),
        ({"settle_seconds": -1}, "settle_seconds must be"),
        ({"complete_marker": "a/b"}, "name of a file"),
        ({"reread_older_models": 1}, "true or false"),
        ({"retry_nights": -1}, "retry_nights must be"),
        ({"max_cards": 0}, "max_cards must be"),
        ({"max_missing_share": 2}, "max_missing_share must be"),
        ({"current": "csv"}, "list of formats"),
        ({"current": ["xlsx"]}, "'xlsx'"),
        ({"keep_nights": 0}, "keep_nights must be"),
        ({"keep_night": 3}, "unknown setting keep_night"),
        ({"output": "archive/nights"}, "inside the archive"),
    ],
)
def test_settings_are_checked(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        load_night_config(night_toml(tmp_path, changes), {})


@pytest.mark.parametrize("line", ["limit = 5", 'archive = "x"', 'changes = "stop"', "colour = 1"])
def test_settings_that_have_no_place_in_run(tmp_path: Path, line: str) -> None:
    with pytest.raises(UsageError):
        night_config(tmp_path, run=line)


def test_annotated_configuration_has_the_defaults(tmp_path: Path) -> None:
    shipped = load_night_config(PROJECT / "jobs" / "nightly.toml", {})
    text = (PROJECT / "jobs" / "nightly.toml").read_text()
    bare = tmp_path / "bare.toml"
    kept = [line for line in text.splitlines() if line.startswith(("[", "archive", "output"))]
    bare.write_text("\n".join(kept))
    assert load_night_config(bare, {}) == shipped
    commented = text.replace("# max_", "max_").replace("# keep_", "keep_")
    commented = commented.replace("# complete_", "complete_").replace("# busy_", "busy_")
    for name in ("[[export]]", "name", "to", "schema", "retries", "directory", "delimiter"):
        commented = commented.replace(f"\n# {name}", f"\n{name}")
    bare.write_text(commented)
    targets = load_night_config(bare, {}).exports
    assert [(t.name, t.kind) for t in targets] == [
        ("register", "postgresql"), ("duckdb", "duckdb"), ("package", "package"),
    ]  # fmt: skip
    assert load_night_config(bare, {}).keep_nights == 30
