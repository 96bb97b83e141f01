"""Nothing outside the archive is opened, however late a link appears, and no path is too long."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from batch_fakes import box_png, make_card
from vin_batch.archive import (
    FolderRoot,
    ListingChangedError,
    WalkTotals,
    open_folders,
    read_card,
    reader,
    stamp_card,
    walk,
)
from vin_batch.archive.beneath import MAX_DEPTH, opened_folder
from vin_batch.archive.names import lay_out
from vin_batch.records import BoxIssue, CardRef

SECRET = 99


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A card outside the archive, of the same names."""
    return make_card(tmp_path / "secret" / "card", SECRET)


@pytest.fixture
def root(tmp_path: Path, secret: Path) -> FolderRoot:
    make_card(tmp_path / "archive" / "box" / "card", 1)
    return open_folders(tmp_path / "archive")


def only_card(root: FolderRoot) -> CardRef:
    (card,) = walk(root)
    return card


def descend(root: Path, names: list[bytes]) -> int:
    """Make folders inside folders, of any depth, and open the last one."""
    descriptor = os.open(root, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=descriptor)
        below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    return descriptor


@pytest.mark.parametrize("swapped", ["box", "box/card"])
def test_a_folder_that_became_a_link_is_not_entered(
    tmp_path: Path, root: FolderRoot, secret: Path, swapped: str
) -> None:
    card = only_card(root)
    place = tmp_path / "archive" / swapped
    place.rename(tmp_path / "was")
    place.symlink_to(secret.parent if swapped == "box" else secret)
    with pytest.raises(ListingChangedError):
        read_card(root, card)
    with pytest.raises(ListingChangedError):
        stamp_card(root, card)


def test_a_folder_that_became_a_link_during_the_walk_is_not_entered(
    tmp_path: Path, root: FolderRoot, secret: Path
) -> None:
    make_card(tmp_path / "archive" / "a", 2)
    totals = WalkTotals()
    cards = walk(root, totals)
    assert next(cards).card_id == "a"
    (tmp_path / "archive" / "box").rename(tmp_path / "was")
    (tmp_path / "archive" / "box").symlink_to(secret.parent)
    assert list(cards) == []
    assert totals.unreadable_folders == 1


def when_listed(monkeypatch: pytest.MonkeyPatch, change: Callable[[], object]) -> None:
    """Do something right after a card's folder was listed, before its files are opened."""

    def changing(names: tuple[bytes, ...]) -> object:
        change()
        return lay_out(names)

    monkeypatch.setattr(reader, "_known_layout", changing)


def test_a_file_that_became_a_link_is_not_followed(
    tmp_path: Path, root: FolderRoot, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "archive/box/card/03.png"

    def swap() -> None:
        file.unlink()
        file.symlink_to(secret / "03.png")

    card = only_card(root)
    when_listed(monkeypatch, swap)
    boxes = read_card(root, card).boxes
    assert [box.issue for box in boxes].count(BoxIssue.UNREADABLE_FILE) == 1
    assert boxes[2].data == b""


@pytest.mark.parametrize("swapped", ["the file", "its folder"])
def test_the_target_of_a_link_that_became_a_link_is_not_followed(
    tmp_path: Path,
    root: FolderRoot,
    secret: Path,
    monkeypatch: pytest.MonkeyPatch,
    swapped: str,
) -> None:
    inside = tmp_path / "archive/.shared"
    make_card(inside, 5)
    link = tmp_path / "archive/box/card/03.png"
    link.unlink()
    link.symlink_to(inside / "03.png")
    card = only_card(root)
    assert read_card(root, card).boxes[2].data == box_png(503)

    def swap() -> None:
        if swapped == "the file":
            (inside / "03.png").unlink()
            (inside / "03.png").symlink_to(secret / "03.png")
        else:
            inside.rename(tmp_path / "was")
            inside.symlink_to(secret)

    when_listed(monkeypatch, swap)
    box = read_card(root, card).boxes[2]
    assert (box.issue, box.data) == (BoxIssue.UNREADABLE_FILE, b"")


def test_a_folder_swapped_after_it_was_opened_is_still_the_same_folder(
    tmp_path: Path, root: FolderRoot, secret: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "archive/box/card"

    def swap() -> None:
        folder.rename(tmp_path / "was")
        folder.symlink_to(secret)

    card = only_card(root)
    when_listed(monkeypatch, swap)
    assert [box.data for box in read_card(root, card).boxes] == [
        box_png(100 + number) for number in range(1, 18)
    ]


def test_a_file_that_vanishes_after_the_listing_is_a_value(
    tmp_path: Path, root: FolderRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = only_card(root)
    when_listed(monkeypatch, (tmp_path / "archive/box/card/07.png").unlink)
    boxes = read_card(root, card).boxes
    assert boxes[6].issue is BoxIssue.UNREADABLE_FILE
    assert sum(box.issue is BoxIssue.NONE for box in boxes) == 16


def test_a_root_behind_a_link_is_the_archive(tmp_path: Path, root: FolderRoot) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "archive")
    linked = open_folders(tmp_path / "link")
    (tmp_path / "archive/box/card/02.png").unlink()
    (tmp_path / "archive/box/card/02.png").symlink_to("03.png")
    files = read_card(linked, only_card(linked))
    assert files.boxes[1].data == files.boxes[2].data == box_png(103)


@pytest.mark.parametrize("component", [b"n" * 255, "ж".encode() * 127, b"\xff" * 255])
def test_cards_beyond_the_longest_path_are_read(tmp_path: Path, component: bytes) -> None:
    """The system takes no path over 4,096 bytes; an archive copied level by level has some."""
    descriptor = descend(tmp_path, [component] * 20)
    try:
        for number in range(1, 18):
            name = f"{number:02d}.png"
            file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=descriptor)
            os.write(file, box_png(number))
            os.close(file)
        os.symlink("01.png", "link_19.png", dir_fd=descriptor)
    finally:
        os.close(descriptor)
    root = open_folders(tmp_path)
    totals = WalkTotals()
    (card,) = walk(root, totals)
    assert card.card_id.count("/") == 19
    assert totals.unreadable_folders == 0
    assert totals.links_skipped == 1, "where a link of such a path leads cannot be told"
    files = read_card(root, card)
    assert [box.data for box in files.boxes] == [box_png(number) for number in range(1, 18)]
    assert stamp_card(root, card) == tuple(box.stamp for box in files.boxes)
    shutil.rmtree(os.fsencode(tmp_path) + b"/" + component)


def test_folders_without_end_are_counted_and_named(tmp_path: Path) -> None:
    make_card(tmp_path / "card", 1)
    os.close(descend(tmp_path, [b"deep"] * (MAX_DEPTH + 30)))
    totals = WalkTotals()
    assert [card.card_id for card in walk(open_folders(tmp_path), totals)] == ["card"]
    assert totals.unreadable_folders == 1
    (example,) = totals.unreadable_examples
    assert example.startswith("…")
    assert example.endswith(f"deep/deep: More than {MAX_DEPTH} folders deep")
    assert len(example) < 400
    shutil.rmtree(tmp_path / "deep")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a device")
def test_a_device_in_place_of_a_file_is_not_even_opened(
    tmp_path: Path, root: FolderRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "archive/box/card/05.png"
    device.unlink()
    try:
        os.mknod(device, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    except PermissionError:
        pytest.skip("this container may not make devices")
    opened: list[object] = []
    open_ = os.open

    def noting(path: bytes, *arguments: int, **options: int) -> int:
        opened.append(path)
        return open_(path, *arguments, **options)

    card = only_card(root)
    monkeypatch.setattr(os, "open", noting)
    boxes = read_card(root, card).boxes
    assert boxes[4].issue is BoxIssue.UNREADABLE_FILE
    assert b"05.png" not in opened
    assert b"04.png" in opened


def test_a_file_that_grows_while_it_is_read_is_oversized(
    root: FolderRoot, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = len(box_png(101)) + 200
    monkeypatch.setattr(reader, "MAX_FILE_BYTES", limit)
    monkeypatch.setattr(os, "read", lambda descriptor, size: b"x" * size)
    boxes = read_card(root, only_card(root)).boxes
    assert {box.issue for box in boxes} == {BoxIssue.OVERSIZED}


def test_no_descriptor_is_left_open(tmp_path: Path, root: FolderRoot) -> None:
    card = only_card(root)
    (tmp_path / "archive/box/card/04.png").unlink()
    (tmp_path / "archive/box/card/04.png").symlink_to("05.png")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        read_card(root, card)
        stamp_card(root, card)
        with pytest.raises(OSError, match="No such file"), opened_folder(root.path, b"box/nowhere"):
            pass
    assert len(os.listdir("/proc/self/fd")) == before
