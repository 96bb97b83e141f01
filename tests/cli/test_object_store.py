"""The real command against an S3 server: same cards, same readings, no secrets."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_fakes import make_archive, make_model, readings_bytes
from crash_tools import environment
from vin_batch.archive import open_folders
from vin_batch.batch.ledger import load_run
from vin_batch.batch.packing import pack_archive
from vin_batch.batch.rundir import RunDir
from vin_batch.classifier.model_card import default_model_directory

pytest.importorskip("s3fs")
moto = pytest.importorskip("moto.server")

SECRET = "not-really-a-secret-key"
CARDS = 8


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def cloud(server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }.items():
        monkeypatch.setenv(name, value)
    return server


def vin_batch(*arguments: object, crash: str = "") -> subprocess.CompletedProcess[str]:
    aws = {name: os.environ[name] for name in os.environ if "AWS" in name}
    return subprocess.run(
        [sys.executable, "-m", "vin_batch", *map(str, arguments)],
        env=environment() | aws | ({"VIN_BATCH_CRASH_AT": crash} if crash else {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=190,
    )


def upload(folder: Path, bucket: str) -> None:
    import boto3

    client = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"])
    client.create_bucket(Bucket=bucket)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            name = f"archive/{path.relative_to(folder).as_posix()}"
            client.put_object(Bucket=bucket, Key=name, Body=path.read_bytes())


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(
    not (default_model_directory() / "model.json").is_file(), reason="no default model"
)
def test_a_bucket_reads_like_the_folders(cloud: str, tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "archive", CARDS)
    (folder / "box_00/card_0001/04.png").write_bytes(b"")
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    shutil.copytree(folder, tmp_path / "half")
    shutil.move(tmp_path / "half" / "box_01", mixed / "box_01")
    pack_archive(open_folders(tmp_path / "half"), mixed / "packs", 3, lambda cards: None)
    upload(mixed, "cards")
    runs = {}
    for name, place in (("folders", folder), ("bucket", "s3://cards/archive")):
        flags = ("-o", tmp_path / name, "--shard-size", 4, "--workers", 1, "--device", "cpu")
        done = vin_batch("run", place, *flags, "--log-level", "debug")
        assert done.returncode == 0, done.stderr
        assert SECRET not in done.stderr
        runs[name] = load_run(RunDir(tmp_path / name)).run_id, readings_bytes(tmp_path / name)
    assert runs["bucket"] == runs["folders"]
    written = [path for path in (tmp_path / "bucket").rglob("*") if path.is_file()]
    assert not any(SECRET.encode() in path.read_bytes() for path in written)
    assert load_run(RunDir(tmp_path / "bucket")).archive == "s3://cards/archive"


def test_a_bucket_that_is_not_there(cloud: str, tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    done = vin_batch("run", "s3://nowhere/archive", "-o", tmp_path / "run", "--model", model)
    assert done.returncode == 8, done.stderr
    assert "archive s3://nowhere/archive does not exist" in done.stderr
    assert SECRET not in done.stderr


def test_passwords_in_urls_are_refused(tmp_path: Path) -> None:
    done = vin_batch("run", "s3://key:word@bucket/a", "-o", tmp_path / "run")
    assert done.returncode == 2
    assert "s3://***@bucket/a" in done.stderr
    assert "word@" not in done.stderr


def test_pack_and_check_through_the_command(tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "archive", 5)
    done = vin_batch("pack", folder, tmp_path / "packs", "--cards", 2)
    assert done.returncode == 0, done.stderr
    assert "5 cards in 3 packs" in done.stderr
    assert vin_batch("pack", "--check", tmp_path / "packs").returncode == 0
    tar = tmp_path / "packs/cards-00001.tar"
    tar.write_bytes(tar.read_bytes()[:-600])
    checked = vin_batch("pack", "--check", tmp_path / "packs")
    assert checked.returncode == 7
    assert checked.stdout.startswith(f"damaged: {tar}: it has ")
    assert vin_batch("pack", folder).returncode == 2


def test_packing_goes_on_after_a_kill(tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "archive", 6)
    pack_archive(open_folders(folder), tmp_path / "undisturbed", 2, lambda cards: None)
    arguments = ("pack", folder, tmp_path / "packs", "--cards", 2)
    for point in ("pack:written:2", "pack:renamed:1"):
        assert vin_batch(*arguments, crash=point).returncode == 137
    assert vin_batch(*arguments).returncode == 0
    made, undisturbed = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("packs", "undisturbed")
    )
    assert made == undisturbed
