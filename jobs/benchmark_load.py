"""How long a load into PostgreSQL takes, against plain COPY of the same cards as CSV.

    python jobs/benchmark_load.py --to postgresql:///scratch --cards 200000

Makes a run of invented readings in a temporary directory, exports it as a package, copies the
package's CSV files into a table with a primary key, then loads the run with everything that
``vin-batch export`` does. Both go into schemas of their own, which are dropped at the end.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np
import psycopg
import pyarrow as pa

from vin_batch.batch.ledger import RunRecord, save_run
from vin_batch.batch.plan import write_plan
from vin_batch.batch.publish import Evidence, Publisher
from vin_batch.batch.readings_schema import READINGS_SCHEMA, readings_to_table, serialise
from vin_batch.batch.receipts import Receipt, ShardState, save_receipt
from vin_batch.batch.rundir import RunDir
from vin_batch.export.contract import COLUMNS, type_name
from vin_batch.export.load import LoadOptions
from vin_batch.export.package import export_package
from vin_batch.export.postgres import export_postgres
from vin_batch.export.postgres_connection import Destination
from vin_batch.export.postgres_schema import init
from vin_batch.records import (
    Alternative,
    CardRef,
    CharReading,
    CheckDigitState,
    Reading,
    Status,
)

SHARD: Final = 1000
RUN_ID: Final = "b" * 32
SCHEMAS: Final = ("vin_batch_benchmark", "vin_batch_benchmark_copy")
BLOCK: Final = 2**20


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--to", required=True, help="address of a scratch database")
    parser.add_argument("--cards", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=1, help="in turns; odd numbers are best")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="vin_batch_benchmark_") as folder:
        run = make_run(Path(folder) / "run", args.cards)
        package = Path(folder) / "package"
        packed = _seconds(lambda: export_package(run.root, package))
        print(f"package of {args.cards} cards: {packed:.1f} s", flush=True)
        with psycopg.connect(args.to, autocommit=True) as connection:
            try:
                times = [_measure(connection, args.to, run, package) for _ in range(args.rounds)]
            finally:
                _drop(connection)
    for round_, (plain, loaded, client) in enumerate(times, start=1):
        print(f"round {round_}: plain {plain:.2f} s, load {loaded:.2f} s (client {client:.2f} s of "
              f"processors), ratio {loaded / plain:.2f}")  # fmt: skip
    plain, loaded = (min(time[n] for time in times) for n in (0, 1))
    median = statistics.median(loaded / plain for plain, loaded, _ in times)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"fastest: plain COPY of the CSV {plain:.2f} s; load, exactly once {loaded:.2f} s, "
          f"{args.cards / loaded:.0f} cards/s")  # fmt: skip
    print(f"ratio of the fastest {loaded / plain:.2f}, median of the ratios {median:.2f}; peak "
          f"memory of this process {peak:.0f} MB; load of the machine {os.getloadavg()[0]:.1f} on "
          f"{os.cpu_count()} processors")  # fmt: skip
    return 0


def _measure(
    connection: psycopg.Connection[tuple[object, ...]], dsn: str, run: RunDir, package: Path
) -> tuple[float, float, float]:
    _drop(connection)
    plain = _seconds(lambda: _plain_copy(connection, package))
    destination = Destination(dsn, SCHEMAS[0])
    init(destination)
    used = time.process_time()
    loaded = _seconds(lambda: export_postgres(run.root, destination, LoadOptions(attempts=1)))
    return plain, loaded, time.process_time() - used


def _plain_copy(connection: psycopg.Connection[tuple[object, ...]], package: Path) -> None:
    # Lists are text in a CSV: what a loader without us would make of them.
    names = {"real": "real", "double": "double precision"}
    kinds = [type_name(column.kind) for column in COLUMNS]
    kinds = ["text" if kind.startswith("list") else names.get(kind, kind) for kind in kinds]
    columns = ", ".join(f"{c.name} {kind}" for c, kind in zip(COLUMNS, kinds, strict=True))
    table = f"{SCHEMAS[1]}.readings"
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {SCHEMAS[1]}".encode())
        cursor.execute(f"CREATE TABLE {table} ({columns})".encode())
        cursor.execute(f'ALTER TABLE {table} ALTER card_id TYPE text COLLATE "C"'.encode())
        cursor.execute(f"ALTER TABLE {table} ADD PRIMARY KEY (card_id)".encode())
        for part in ("accepted", "review"):
            statement = f"COPY {table} FROM STDIN (FORMAT csv, HEADER)"
            with (
                (package / f"{part}.csv").open("rb") as file,
                cursor.copy(statement.encode()) as copy,
            ):
                while block := file.read(BLOCK):
                    copy.write(block)


def _drop(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    for schema in SCHEMAS:
        connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE".encode())


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def make_run(root: Path, cards: int) -> RunDir:
    """A finished run of invented readings: 40 % accepted, the others in review."""
    run = RunDir(root)
    for folder in (root, run.readings_dir, run.receipts_dir):
        folder.mkdir(parents=True)
    plan = write_plan(run, (CardRef(name, None, "0" * 16) for name in _names(cards)), SHARD)
    record = RunRecord(
        run_id=RUN_ID, created_at="2026-01-01T00:00:00+00:00", package_version="benchmark",
        archive="/invented", config={}, fingerprint={},
        model={"id": "invented@0", "name": "invented", "sha256": "0" * 64},
        plan={"cards": plan.cards, "shards": plan.shards, "digest": plan.digest,
              "sha256": plan.sha256},
        walk={},
    )  # fmt: skip
    save_run(run, record)
    names = list(_names(min(cards, SHARD)))
    readings = [_reading(name, number) for number, name in enumerate(names)]
    publisher = Publisher(run, RUN_ID, "invented@0", "none")
    refs = [CardRef(name, None, "0" * 16) for name in names]
    pattern = publisher.publish(0, refs, readings, Evidence(ShardState.DONE))
    table = readings_to_table(readings, "invented@0", RUN_ID)
    for shard in range(1, plan.shards):
        _publish(run, table, pattern, shard, min(SHARD, cards - shard * SHARD))
    return run


def _publish(run: RunDir, table: pa.Table, pattern: Receipt, shard: int, rows: int) -> None:
    """The first shard again, under other names."""
    names = [_name(shard * SHARD + number) for number in range(rows)]
    part = table.slice(0, rows).set_column(
        0, READINGS_SCHEMA.field("card_id"), pa.array(names, pa.string())
    )
    data = serialise(part.cast(READINGS_SCHEMA))
    run.readings(shard).write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    receipt = replace(
        pattern, shard=shard, cards=rows, readings_sha256=digest, readings_bytes=len(data)
    )
    save_receipt(run, receipt)


def _names(cards: int) -> Iterator[str]:
    return map(_name, range(cards))


def _name(number: int) -> str:
    return f"{1980 + number // 50_000}/box_{number // 100:06d}/card_{number:08d}"


def _reading(name: str, number: int) -> Reading:
    rng = np.random.default_rng(number)
    probs = np.floor(rng.beta(40, 1, 17) * 1e6) / 1e6
    vin = f"XTA21099{number % 10}K{number % 10_000_000:07d}"
    chars = tuple(
        CharReading(i + 1, vin[i], float(np.float32(p)), "Z", float(np.float32((1 - p) / 2)), None)
        for i, p in enumerate(probs)
    )
    accepted = number % 5 < 2
    return Reading(
        card_id=name, status=Status.ACCEPTED if accepted else Status.REVIEW, vin=vin, raw_vin=vin,
        confidence=float(np.floor(probs.prod() * 1e6) / 1e6),
        check_digit=CheckDigitState.NOT_APPLICABLE, changed=(),
        reasons=() if accepted else ("low_confidence",), chars=chars,
        alternatives=tuple(Alternative(vin[:-1] + str(d), 0.001234 / (d + 1)) for d in range(4)),
        wmi="XTA", maker="AvtoVAZ", country="Russia", model_years=(1989, 2019),
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
