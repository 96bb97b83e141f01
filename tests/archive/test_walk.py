from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import pytest

from batch_fakes import make_archive, make_card
from vin_batch.archive import WalkTotals, open_archive, walk
from vin_batch.archive.names import order_key, relative_path
from vin_batch.errors import ArchiveError


def walked(root: Path) -> tuple[list[str], WalkTotals]:
    totals = WalkTotals()
    return [card.card_id for card in walk(open_archive(root), totals)], totals


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def test_cards_come_depth_first_in_byte_order(tmp_path: Path) -> None:
    for name in ("b/2", "b/10", "a", "a b", "a-b", "a/inner", "Ж", "é"):
        touch(tmp_path / name / "01.png")
    cards, totals = walked(tmp_path)
    assert cards == ["a", "a/inner", "a b", "a-b", "b/10", "b/2", "é", "Ж"]
    assert cards == sorted(cards, key=lambda card: order_key(card.encode()))
    assert totals.cards == totals.image_files == 8


def test_two_walks_agree(tmp_path: Path) -> None:
    root = open_archive(make_archive(tmp_path, 30))
    assert list(walk(root)) == list(walk(root))


def test_everything_passed_by_is_counted(tmp_path: Path) -> None:
    make_card(tmp_path / "card", 1)
    for name in ("Thumbs.db", ".hidden.png", "notes.txt", "desktop.ini"):
        touch(tmp_path / "card" / name)
    touch(tmp_path / ".snapshot" / "01.png")
    (tmp_path / "empty").mkdir()
    touch(tmp_path / "texts" / "readme.md")
    cards, totals = walked(tmp_path)
    assert cards == ["card"]
    assert totals.ignored_files == 5
    assert totals.empty_folders == 2
    assert totals.hidden_folders == 1
    assert totals.image_files == 17


def test_images_in_the_root_are_a_card(tmp_path: Path) -> None:
    touch(tmp_path / "01.png")
    touch(tmp_path / "inner" / "01.png")
    assert walked(tmp_path)[0] == [".", "inner"]


def test_folder_named_like_an_image_is_walked(tmp_path: Path) -> None:
    touch(tmp_path / "01.png" / "01.png")
    assert walked(tmp_path)[0] == ["01.png"]


def test_links_do_not_leave_the_archive(tmp_path: Path) -> None:
    outside = touch(tmp_path / "outside" / "01.png")
    root = tmp_path / "archive"
    inside = touch(root / "card" / "01.png")
    (root / "card" / "02.png").symlink_to(outside)
    (root / "card" / "03.png").symlink_to(inside)
    (root / "card" / "04.png").symlink_to(root / "nowhere.png")
    (root / "away").symlink_to(outside.parent)
    (root / "loop").symlink_to(root)
    (root / "card" / "05.png").symlink_to(root / "card")
    cards, totals = walked(root)
    assert cards == ["card"]
    assert totals.image_files == 2
    assert totals.links_skipped == 5


def test_names_that_are_not_utf8(tmp_path: Path) -> None:
    touch(tmp_path / os.fsdecode(b"caf\xe9") / "01.png")
    (card,) = walk(open_archive(tmp_path))
    assert card.card_id == r"caf\xe9"
    assert card.path == b"caf\xe9"
    assert relative_path(card) == b"caf\xe9"


def test_plain_names_need_no_bytes(tmp_path: Path) -> None:
    touch(tmp_path / "карта" / "01.png")
    (card,) = walk(open_archive(tmp_path))
    assert card.path is None
    assert relative_path(card) == "карта".encode()


def test_unreadable_folder_is_counted_and_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_archive(tmp_path, 12)
    open_ = os.open

    def refuse(path: bytes, *arguments: int, **options: int) -> int:
        if path.endswith(b"card_0007"):
            raise PermissionError(13, "Permission denied")
        return open_(path, *arguments, **options)

    root = open_archive(tmp_path)
    monkeypatch.setattr(os, "open", refuse)
    totals = WalkTotals()
    cards = [card.card_id for card in walk(root, totals)]
    assert len(cards) == 11
    assert totals.unreadable_folders == 1
    assert totals.unreadable_examples == ["box_01/card_0007: Permission denied"]


def test_archive_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="does not exist"):
        open_archive(tmp_path / "nowhere")
    with pytest.raises(ArchiveError, match="not a folder"):
        open_archive(touch(tmp_path / "file"))


def test_memory_does_not_grow_with_the_archive(tmp_path: Path) -> None:
    def peak(cards: int) -> int:
        root = tmp_path / str(cards)
        for number in range(cards):
            touch(root / f"{number // 50:03d}" / f"{number:05d}" / "01.png")
        archive = open_archive(root)
        tracemalloc.start()
        try:
            for _ in walk(archive):
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    peak(50)
    assert peak(2000) < peak(200) * 2
