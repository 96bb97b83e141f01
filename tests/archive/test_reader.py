from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from batch_fakes import box_png, make_card
from hostile_privilege import like_any_user
from vin_batch.archive import (
    ArchiveRoot,
    ListingChangedError,
    open_archive,
    read_card,
    reader,
    stamp_card,
    walk,
)
from vin_batch.records import BoxIssue, CardRef


@pytest.fixture
def root(tmp_path: Path) -> ArchiveRoot:
    make_card(tmp_path / "card", 1)
    return open_archive(tmp_path)


def only_card(root: ArchiveRoot) -> CardRef:
    (card,) = walk(root)
    return card


def issues(root: ArchiveRoot) -> list[BoxIssue]:
    return [box.issue for box in read_card(root, only_card(root)).boxes]


def test_bytes_and_stamps_of_whole_card(root: ArchiveRoot, tmp_path: Path) -> None:
    files = read_card(root, only_card(root))
    assert [box.data for box in files.boxes] == [box_png(100 + n) for n in range(1, 18)]
    info = (tmp_path / "card" / "03.png").stat()
    stamp = files.boxes[2].stamp
    assert stamp is not None
    assert (stamp.name, stamp.size, stamp.mtime_ns) == (b"03.png", info.st_size, info.st_mtime_ns)
    assert stamp_card(root, only_card(root)) == tuple(box.stamp for box in files.boxes)


def test_every_kind_of_bad_file_is_a_value(
    root: ArchiveRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = tmp_path / "card"
    (card / "01.png").unlink()
    (card / "2.jpg").write_bytes(b"x")
    (card / "03.png").write_bytes(b"")
    (card / "04.png").unlink()
    os.mkfifo(card / "04.png")
    (card / "05.png").unlink()
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(card)
        server.bind("05.png")
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", 5000)
    (card / "06.png").write_bytes(b"x" * 5001)
    (card / "18.png").write_bytes(b"x")
    (card / "notes.txt").write_bytes(b"x")
    files = read_card(root, only_card(root))
    assert [box.issue for box in files.boxes] == [
        BoxIssue.MISSING,
        BoxIssue.DUPLICATE,
        BoxIssue.EMPTY_FILE,
        BoxIssue.UNREADABLE_FILE,
        BoxIssue.UNREADABLE_FILE,
        BoxIssue.OVERSIZED,
        *[BoxIssue.NONE] * 11,
    ]
    assert all(box.data == b"" for box in files.boxes[:6])
    assert (files.extra_boxes, files.ignored_files) == (1, 1)


def test_fifo_does_not_block(root: ArchiveRoot, tmp_path: Path) -> None:
    for number in range(1, 18):
        path = tmp_path / "card" / f"{number:02d}.png"
        path.unlink()
        os.mkfifo(path)
    assert issues(root) == [BoxIssue.UNREADABLE_FILE] * 17


def test_file_without_permission(root: ArchiveRoot, tmp_path: Path) -> None:
    (tmp_path / "card" / "02.png").chmod(0)
    with like_any_user():
        found = issues(root)
    assert [issue is BoxIssue.UNREADABLE_FILE for issue in found] == [n == 1 for n in range(17)]


@pytest.mark.parametrize("mode", [0o444, 0o000])
def test_folder_without_permission(root: ArchiveRoot, tmp_path: Path, mode: int) -> None:
    """A folder that may be listed and not entered, and one that may be neither."""
    card = only_card(root)
    (tmp_path / "card").chmod(mode)
    with like_any_user():
        boxes = read_card(root, card).boxes
        again = list(walk(root))
    (tmp_path / "card").chmod(0o755)
    assert [box.issue for box in boxes] == [BoxIssue.UNREADABLE_FILE] * 17
    assert again == ([card] if mode else [])


def test_error_while_reading(root: ArchiveRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(descriptor: int, size: int) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "read", broken)
    assert issues(root) == [BoxIssue.UNREADABLE_FILE] * 17


def test_short_reads_are_completed(root: ArchiveRoot, monkeypatch: pytest.MonkeyPatch) -> None:
    read = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: read(descriptor, min(size, 7)))
    files = read_card(root, only_card(root))
    assert files.boxes[0].data == box_png(101)


def test_link_inside_the_archive_is_read(root: ArchiveRoot, tmp_path: Path) -> None:
    (tmp_path / "card" / "02.png").unlink()
    (tmp_path / "card" / "02.png").symlink_to("03.png")
    files = read_card(root, only_card(root))
    assert files.boxes[1].data == box_png(103)


@pytest.mark.parametrize("change", ["added", "removed", "renamed", "folder gone"])
def test_changed_folder_is_noticed(root: ArchiveRoot, tmp_path: Path, change: str) -> None:
    card = only_card(root)
    folder = tmp_path / "card"
    if change == "added":
        (folder / "18.png").write_bytes(b"x")
    elif change == "removed":
        (folder / "17.png").unlink()
    elif change == "renamed":
        (folder / "17.png").rename(folder / "17.PNG")
    else:
        folder.rename(tmp_path / "elsewhere")
    with pytest.raises(ListingChangedError):
        read_card(root, card)
    with pytest.raises(ListingChangedError):
        stamp_card(root, card)


def test_other_files_do_not_change_a_card(root: ArchiveRoot, tmp_path: Path) -> None:
    card = only_card(root)
    (tmp_path / "card" / "Thumbs.db").write_bytes(b"x")
    assert read_card(root, card).ignored_files == 1


def test_folder_that_may_not_be_listed_gives_unreadable_boxes(
    root: ArchiveRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = only_card(root)

    def refuse(folder: int) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    files = read_card(root, card)
    assert [box.issue for box in files.boxes] == [BoxIssue.UNREADABLE_FILE] * 17
