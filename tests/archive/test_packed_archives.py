"""Packed archives hold the same cards as folders, and nobody fools them."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_fakes import make_archive, make_card
from hostile_privilege import like_any_user
from vin_batch.archive import (
    CardFiles,
    ListingChangedError,
    WalkTotals,
    open_folders,
    packed,
    read_card,
    stamp_card,
    walk,
)
from vin_batch.archive.names import pack_base
from vin_batch.archive.source import tree_of
from vin_batch.batch.packing import PackOutcome, check_packs, index_path, pack_archive
from vin_batch.errors import (
    ArchiveError,
    ChangedUnderRunError,
    DiskError,
    LockedError,
    UsageError,
)
from vin_batch.records import BoxIssue

ODD_NAME = b"caf\xe9"


def touch(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def messy_archive(root: Path) -> Path:
    """Everything that may be in a card folder."""
    make_archive(root, 6)
    make_card(root, 50, boxes=(1, 2, 18))
    make_card(root / "from zero", 51, boxes=range(17))
    odd = make_card(root / "odd", 52, boxes=(1, 2, 5, 99))
    touch(odd / "a_5.png", b"a duplicate")
    touch(odd / "x.png", b"no number")
    touch(odd / "6.png", b"")
    for name in ("Thumbs.db", ".hidden.png", "big scan.pdf"):
        touch(odd / name, b"ignored" * 300)
    (odd / "7.png").symlink_to(root / "from zero" / "00.png")
    (odd / "8.png").symlink_to("/etc/hostname")
    (odd / "9.png").mkdir()
    os.mkfifo(odd / "10.png")
    os.mkfifo(odd / "pipe.txt")
    make_card(root / "odd" / "inner", 53)
    make_card(root / "odd-and more", 54)
    make_card(root / os.fsdecode(ODD_NAME) / "карта", 55)
    make_card(root / ("long " * 40) / ("длинный" * 15), 56)
    touch(root / "texts" / "readme.md")
    return root


def pack(archive: Path, out: Path, cards: int = 1000) -> PackOutcome:
    return pack_archive(open_folders(archive), out, cards, lambda cards: None)


def contents(root: Path) -> list[tuple[object, ...]]:
    """Everything that counts in readings, in plan order."""
    archive = open_folders(root)
    return [
        (card.card_id, card.path, card.digest, *evidence(read_card(archive, card)))
        for card in walk(archive)
    ]


def evidence(files: CardFiles) -> tuple[object, ...]:
    boxes = [(box.data, box.issue, box.stamp and box.stamp.name) for box in files.boxes]
    return boxes, files.extra_boxes, files.ignored_files


@pytest.fixture(scope="module")
def messy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return messy_archive(tmp_path_factory.mktemp("messy") / "archive")


@pytest.mark.parametrize("size", [1, 4, 1000])
def test_packs_hold_what_the_folders_hold(messy: Path, tmp_path: Path, size: int) -> None:
    outcome = pack(messy, tmp_path / "packs", size)
    assert outcome.cards == len(contents(messy)) == 13
    assert outcome.packs == -(-outcome.cards // size)
    assert contents(tmp_path / "packs") == contents(messy)
    assert not list(check_packs(tmp_path / "packs", lambda cards: None)) or outcome.unreadable
    totals = WalkTotals()
    list(walk(open_folders(tmp_path / "packs"), totals))
    folders = WalkTotals()
    list(walk(open_folders(messy), folders))
    assert (totals.packs, totals.packed_cards) == (outcome.packs, outcome.cards)
    assert (totals.cards, totals.image_files) == (folders.cards, folders.image_files)


@pytest.mark.parametrize("where", ["", "packs"])
def test_folders_and_packs_mix(messy: Path, tmp_path: Path, where: str) -> None:
    """Half of the cards stay folders; those of a sub-folder are packed where they lie."""
    mixed = tmp_path / "mixed"
    shutil.copytree(messy, mixed, symlinks=True, copy_function=copy_any)
    links = [path for path in (mixed / "odd").iterdir() if path.is_symlink()]
    for path in links:
        if path.name == "7.png":
            path.unlink()
            path.symlink_to(mixed / "from zero" / "00.png")
    half = tmp_path / "half"
    half.mkdir()
    for name in ("box_00", "odd-and more", os.fsdecode(ODD_NAME)):
        shutil.move(mixed / name, half / name)
    pack(half, tmp_path / "packs", 3)
    shutil.copytree(tmp_path / "packs", mixed / where, dirs_exist_ok=True)
    inner = tmp_path / "inner"
    shutil.move(mixed / "box_01", inner)
    pack(inner, tmp_path / "inner packs")
    shutil.copytree(tmp_path / "inner packs", mixed / "box_01")
    assert contents(mixed) == contents(messy)


def copy_any(source: str, target: str) -> None:
    if Path(source).is_fifo():
        os.mkfifo(target)
    else:
        shutil.copy2(source, target)


def test_unpacked_by_others_the_archive_is_the_same(messy: Path, tmp_path: Path) -> None:
    outcome = pack(messy, tmp_path / "packs", 5)
    for number in range(outcome.packs):
        with tarfile.open(
            tmp_path / "packs" / f"cards-{number:05d}.tar", errors="surrogateescape"
        ) as tar:
            tar.extractall(tmp_path / "unpacked", filter="fully_trusted")
    assert contents(tmp_path / "unpacked") == contents(messy)


def test_same_archive_same_bytes(messy: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        pack(messy, tmp_path / name, 5)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(files) == 6
    assert all(
        (tmp_path / "a" / n).read_bytes() == (tmp_path / "b" / n).read_bytes() for n in files
    )


def test_packs_of_other_programs_are_indexed_anew(
    messy: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pack(messy, tmp_path / "packs", 4)
    for index in (tmp_path / "packs").glob("*.jsonl"):
        index.unlink()
    assert contents(tmp_path / "packs") == contents(messy)
    assert "has no index" in caplog.text
    clean = tmp_path / "clean"
    make_archive(clean, 7)
    (tmp_path / "theirs").mkdir()
    with tarfile.open(tmp_path / "theirs" / "all.tar", "w", format=tarfile.GNU_FORMAT) as tar:
        tar.add(clean, ".")
    assert contents(tmp_path / "theirs") == contents(clean)


@pytest.mark.parametrize("other", ["folder", "pack"])
def test_a_card_in_two_places_is_refused(tmp_path: Path, other: str) -> None:
    make_archive(tmp_path / "archive", 3)
    pack(tmp_path / "archive", tmp_path / "both" / "packs")
    if other == "folder":
        make_card(tmp_path / "both" / "box_00" / "card_0001", 9)
        words = "card box_00/card_0001 is there twice: as a folder and in packs/cards-00000.tar"
    else:
        shutil.copy(tmp_path / "both/packs/cards-00000.tar", tmp_path / "both/z.tar")
        words = r"card box_00/card_0000 is there twice: in \S+tar and in \S+tar"
    with pytest.raises(ArchiveError, match=words):
        list(walk(open_folders(tmp_path / "both")))


def test_a_file_that_cannot_be_read_is_no_missing_box(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", 2)
    locked = archive / "box_00/card_0001/03.png"
    locked.chmod(0)
    with like_any_user():
        before = contents(archive)
        outcome = pack(archive, tmp_path / "packs")
    assert outcome.unreadable == 1
    assert outcome.examples == ["box_00/card_0001/03.png"]
    assert not outcome.is_complete
    assert contents(tmp_path / "packs") == before
    assert before[1][3][2][1] is BoxIssue.UNREADABLE_FILE  # type: ignore[index]
    ((_, words, is_damaged),) = check_packs(tmp_path / "packs", lambda cards: None)
    assert (words, is_damaged) == ("1 files could not be read when it was made", False)
    locked.chmod(0o644)
    assert pack(archive, tmp_path / "packs").is_complete, "the same command tries once more"
    assert contents(tmp_path / "packs") == contents(archive)


def test_large_files_are_stored_and_refused_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = make_card(tmp_path / "archive" / "card", 1)
    touch(card / "03.png", b"x" * 9000)
    touch(card / "scan.pdf", b"y" * 12345)
    limit = 5000
    for module in ("reader", "packed", "packing"):
        monkeypatch.setattr(f"vin_batch.archive.{module}.MAX_FILE_BYTES", limit)
    monkeypatch.setattr(packed, "MAX_SPAN_BYTES", 1000)
    pack(tmp_path / "archive", tmp_path / "packs")
    (found,) = contents(tmp_path / "packs")
    assert [found] == contents(tmp_path / "archive")
    assert found[3][2][1] is BoxIssue.OVERSIZED  # type: ignore[index]
    with tarfile.open(tmp_path / "packs/cards-00000.tar") as tar:
        member = tar.extractfile("card/scan.pdf")
        assert member is not None
        assert member.read() == b"y" * 12345


def test_finished_packs_are_kept_and_others_made_again(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", 9)
    out = tmp_path / "packs"
    assert pack(archive, out, 4).kept == 0
    bytes_before = {path.name: path.read_bytes() for path in out.iterdir()}
    index_path(out / "cards-00001.tar").unlink()
    touch(out / "cards-00002.tar", b"torn")
    touch(out / ".cards-00002.tar.tmp", b"left over")
    times = (out / "cards-00000.tar").stat().st_mtime_ns
    assert pack(archive, out, 4).kept == 1
    assert (out / "cards-00000.tar").stat().st_mtime_ns == times
    assert {path.name: path.read_bytes() for path in out.iterdir()} == bytes_before


@pytest.mark.parametrize("change", ["contents", "removed", "fewer", "size"])
def test_finished_packs_are_never_replaced(tmp_path: Path, change: str) -> None:
    archive = make_archive(tmp_path / "archive", 6)
    out = tmp_path / "packs"
    pack(archive, out, 4)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    cards = 4
    if change == "contents":
        (archive / "box_00/card_0002/03.png").write_bytes(b"other")
    elif change == "removed":
        shutil.rmtree(archive / "box_00/card_0002")
    elif change == "fewer":
        shutil.rmtree(archive / "box_01")
        shutil.rmtree(archive / "box_00/card_0004")
    else:
        cards = 3
    with pytest.raises(ChangedUnderRunError):
        pack(archive, out, cards)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_what_packing_refuses(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", 2)
    with pytest.raises(UsageError, match="inside the archive"):
        pack(archive, archive / "packs")
    touch(tmp_path / "other" / "thesis.tex")
    with pytest.raises(UsageError, match=r"something else \(thesis.tex\)"):
        pack(archive, tmp_path / "other")
    pack(archive, tmp_path / "packs")
    with pytest.raises(UsageError, match="holds packs already"):
        pack(tmp_path / "packs", tmp_path / "again")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArchiveError, match="holds no card"):
        pack(tmp_path / "empty", tmp_path / "none")


def test_one_process_packs_at_a_time(tmp_path: Path) -> None:
    archive = make_archive(tmp_path / "archive", 2)
    told: list[int] = []

    def second(cards: int) -> None:
        told.append(cards)
        with pytest.raises(LockedError):
            pack(archive, tmp_path / "packs")

    pack_archive(open_folders(archive), tmp_path / "packs", 1, second)
    assert told


@pytest.mark.parametrize("point", ["pack:written", "pack:renamed", "pack_index:written"])
def test_a_full_disk_leaves_nothing_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    archive = make_archive(tmp_path / "archive", 6)
    monkeypatch.setattr("vin_batch.batch.faults._passed", Counter())
    monkeypatch.setenv("VIN_BATCH_FAIL_AT", f"{point}:2:ENOSPC")
    with pytest.raises(DiskError, match="No space") as caught:
        pack(archive, tmp_path / "packs", 2)
    assert "Free some space" in caught.value.advice
    monkeypatch.delenv("VIN_BATCH_FAIL_AT")
    assert pack(archive, tmp_path / "packs", 2).kept == 1
    assert contents(tmp_path / "packs") == contents(archive)


def spoil_index(out: Path) -> None:
    index = index_path(out / "cards-00000.tar")
    index.write_bytes(index.read_bytes().replace(b"card_0001", b"card_0009", 1))


def no_end(out: Path) -> None:
    tar = out / "cards-00000.tar"
    tar.write_bytes(tar.read_bytes()[:-1024] + b"x" * 1024)


def wrong_size(out: Path) -> None:
    os.truncate(out / "cards-00000.tar", 20480)


def point_outside(out: Path) -> None:
    index = index_path(out / "cards-00000.tar")
    head, _, rows = index.read_text().partition("\n")
    first = json.loads(rows.splitlines()[0])
    first[3] = 10**12
    body = json.dumps(first) + "\n"
    facts = json.loads(head) | {"rows_sha256": hashlib.sha256(body.encode()).hexdigest()}
    index.write_text(json.dumps(facts) + "\n" + body)


def garbage(out: Path) -> None:
    index_path(out / "cards-00000.tar").write_bytes(b"\xff\xfe{")


@pytest.mark.parametrize("damage", [spoil_index, no_end, wrong_size, point_outside, garbage])
def test_damaged_packs_are_named(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    pack(make_archive(tmp_path / "archive", 3), tmp_path / "packs")
    damage(tmp_path / "packs")
    with pytest.raises(ArchiveError, match=r"^pack cards-00000.tar: ") as caught:
        list(walk(open_folders(tmp_path / "packs")))
    assert "vin-batch pack" in caught.value.advice
    found = list(check_packs(tmp_path / "packs", lambda cards: None))
    assert [(path.name, is_damaged) for path, _, is_damaged in found] == [("cards-00000.tar", True)]


def test_check_reads_every_byte(tmp_path: Path) -> None:
    pack(make_archive(tmp_path / "archive", 3), tmp_path / "packs")
    tar = tmp_path / "packs/cards-00000.tar"
    data = bytearray(tar.read_bytes())
    data[600] ^= 1
    tar.write_bytes(data)
    list(walk(open_folders(tmp_path / "packs")))
    ((_, words, is_damaged),) = check_packs(tmp_path / "packs", lambda cards: None)
    assert (words, is_damaged) == ("its bytes are not those that were written", True)


@pytest.mark.parametrize("change", ["gone", "other cards", "shorter", "a link", "a folder"])
def test_a_pack_that_changed_since_the_walk_is_noticed(tmp_path: Path, change: str) -> None:
    out = tmp_path / "packs"
    pack(make_archive(tmp_path / "archive", 3), out)
    root = open_folders(out)
    cards = list(walk(root))
    tar = out / "cards-00000.tar"
    read_card(root, cards[0])
    data = tar.read_bytes()
    tar.unlink()
    if change == "other cards":
        tar.write_bytes(data.replace(b"card_0002", b"card_0007"))
    elif change == "shorter":
        tar.write_bytes(data[:2000])
    elif change == "a link":
        touch(tmp_path / "elsewhere.tar", data)
        tar.symlink_to(tmp_path / "elsewhere.tar")
    elif change == "a folder":
        tar.mkdir()
    with pytest.raises(ListingChangedError):
        read_card(root, cards[2])
    with pytest.raises(ListingChangedError):
        stamp_card(root, cards[2])


def test_stamps_change_with_the_pack(tmp_path: Path) -> None:
    pack(make_archive(tmp_path / "archive", 2), tmp_path / "packs")
    root = open_folders(tmp_path / "packs")
    card = next(walk(root))
    before = stamp_card(root, card)
    assert before == tuple(box.stamp for box in read_card(root, card).boxes)
    with (tmp_path / "packs/cards-00000.tar").open("r+b") as tar:
        tar.seek(600)
        tar.write(b"other bytes")
    assert stamp_card(root, card) != before


def test_disk_errors_make_unreadable_boxes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(make_archive(tmp_path / "archive", 2), tmp_path / "packs")
    root = open_folders(tmp_path / "packs")
    card = next(walk(root))

    def broken(descriptor: int, length: int, offset: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "pread", broken)
    assert {box.issue for box in read_card(root, card).boxes} == {BoxIssue.UNREADABLE_FILE}
    with pytest.raises(ArchiveError, match="cannot be read: Input/output error"):
        list(walk(root))


def test_few_packs_stay_open(tmp_path: Path) -> None:
    pack(make_archive(tmp_path / "archive", 30), tmp_path / "packs", 1)
    root = open_folders(tmp_path / "packs")
    cards = list(walk(root))
    before = len(os.listdir("/proc/self/fd"))
    for card in cards:
        read_card(root, card)
    assert len(os.listdir("/proc/self/fd")) <= before + 8
    tree_of(root).packs.close()  # type: ignore[attr-defined]


def test_hidden_and_foreign_tars(tmp_path: Path) -> None:
    make_archive(tmp_path, 2)
    touch(tmp_path / ".cards-00000.tar", b"being written")
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("notes.txt"))
    touch(tmp_path / "backup.tar", out.getvalue())
    assert len(list(walk(open_folders(tmp_path)))) == 2
    touch(tmp_path / "box_00/what.tar", b"no tar at all" * 100)
    with pytest.raises(ArchiveError, match=r"pack box_00/what.tar: there is no header at byte 0"):
        list(walk(open_folders(tmp_path)))


def test_scratch_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()
    pack(make_archive(tmp_path / "archive", 3), tmp_path / "packs")
    (tmp_path / "packs/cards-00000.tar.index.jsonl").unlink()
    cards = walk(open_folders(tmp_path / "packs"))
    next(cards)
    assert list((tmp_path / "tmp").iterdir())
    cards.close()  # type: ignore[attr-defined]
    assert not list((tmp_path / "tmp").iterdir())


def test_where_packs_count_as_unpacked() -> None:
    assert pack_base(b"a.tar") == b""
    assert pack_base(b"packs/a.tar") == b""
    assert pack_base(b"1987/a.tar") == b"1987"
    assert pack_base(b"1987/packs/a.tar") == b"1987"
    assert pack_base(b"1987/packs/x/a.tar") == b"1987/packs/x"
