"""An archive behind a URL is the archive, and the network's failures are values."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_fakes import make_archive, make_card
from vin_batch.archive import (
    ListingChangedError,
    WalkTotals,
    expect_cards,
    open_archive,
    open_folders,
    read_card,
    stamp_card,
    stamp_listed,
    walk,
    walk_folders,
)
from vin_batch.archive.names import order_key, relative_path
from vin_batch.archive.source import tree_of
from vin_batch.archive.url import ArchiveUrl, redacted
from vin_batch.batch.packing import pack_archive
from vin_batch.errors import ArchiveError, UsageError
from vin_batch.records import BoxIssue

fsspec = pytest.importorskip("fsspec")

from vin_batch.archive import connection, remote  # noqa: E402
from vin_batch.archive.remote_packs import _joined  # noqa: E402


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty place in memory."""
    tree_of.cache_clear()
    monkeypatch.setattr(connection, "PAUSES", ())
    monkeypatch.setattr(connection, "DOWN_SECONDS", 0.0)
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    yield "memory://archive"
    memory.store.clear()
    tree_of.cache_clear()


def upload(folder: Path) -> None:
    memory = fsspec.filesystem("memory")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            memory.pipe_file(f"/archive/{path.relative_to(folder).as_posix()}", path.read_bytes())


def contents(place: str | Path) -> list[tuple[object, ...]]:
    archive = open_archive(place)
    cards = list(walk(archive))
    expect_cards(archive, cards)
    return [(card.card_id, card.path, card.digest, *evidence(archive, card)) for card in cards]


def evidence(archive: object, card: object) -> tuple[object, ...]:
    files = read_card(archive, card)  # type: ignore[arg-type]
    boxes = [(box.data, box.issue, box.stamp and box.stamp.name) for box in files.boxes]
    return boxes, files.extra_boxes, files.ignored_files


def odd_archive(folder: Path) -> Path:
    make_archive(folder, 23)
    make_card(folder, 50, boxes=(1, 2, 18))
    odd = make_card(folder / "box_01-odd", 52, boxes=(1, 2, 5, 99))
    for name, data in (("a_5.png", b"x"), ("6.png", b""), ("Thumbs.db", b"t"), (".h.png", b"h")):
        (odd / name).write_bytes(data)
    make_card(folder / "box_01 b" / "карта [1]*", 53)
    make_card(folder / "box_00" / "card_0001" / "inner", 54)
    make_card(folder / ".hidden", 55)
    return folder


@pytest.mark.parametrize("by_prefix", [False, True])
def test_behind_a_url_the_archive_is_the_same(
    bucket: str, tmp_path: Path, by_prefix: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = odd_archive(tmp_path / "archive")
    upload(folder)
    if by_prefix:
        prefix_finding(monkeypatch)
        monkeypatch.setattr(remote, "CARDS_PER_FIND", 2)
    assert contents(bucket) == contents(folder)
    totals, local = WalkTotals(), WalkTotals()
    assert list(walk(open_archive(bucket), totals)) == list(walk(open_archive(folder), local))
    assert totals == local


def prefix_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file system in memory list by the beginning of names, as object stores do."""
    memory = type(fsspec.filesystem("memory"))
    plain = memory.find

    def find(self: object, path: str, detail: bool = False, prefix: str = "") -> object:
        found = plain(self, path, detail=True)
        return {name: each for name, each in found.items() if name.startswith(f"{path}/{prefix}")}

    monkeypatch.setattr(memory, "find", find)


@given(
    st.lists(
        st.text("ab/-ж", min_size=1, max_size=4).map(lambda s: s.replace("/", "_")), unique=True
    ),
    st.integers(1, 5),
)
def test_prefixes_tell_groups_apart(names: list[str], most: int) -> None:
    names = sorted(names)
    groups = list(remote.grouped_by_prefix(names, most))
    assert [name for _, group in groups for name in group] == names
    for beginning, group in groups:
        matching = [name for name in names if (name + "/").startswith(beginning)]
        assert matching == group
        assert len(group) <= max(most, 1)


@pytest.mark.parametrize("indexed", [True, False])
def test_packs_behind_a_url(bucket: str, tmp_path: Path, indexed: bool) -> None:
    folder = odd_archive(tmp_path / "archive")
    shutil.rmtree(folder / ".hidden")
    mixed = tmp_path / "mixed"
    (mixed / "box_00").parent.mkdir()
    shutil.copytree(folder, tmp_path / "half")
    shutil.move(tmp_path / "half" / "box_00", mixed / "box_00")
    pack_archive(open_folders(tmp_path / "half"), mixed / "packs", 7, lambda cards: None)
    if not indexed:
        for index in (mixed / "packs").glob("*.jsonl"):
            index.unlink()
    upload(mixed)
    assert contents(bucket) == contents(folder)


def test_many_packed_cards_come_with_one_request(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack_archive(
        open_folders(make_archive(tmp_path / "archive", 30)), tmp_path / "packs", 100, print
    )
    upload(tmp_path / "packs")
    root = open_archive(bucket)
    cards = list(walk(root))
    asked: list[object] = []
    memory = type(fsspec.filesystem("memory"))
    plain = memory.cat_file

    def noting(self: object, *arguments: object, **options: object) -> object:
        asked.append(options)
        return plain(self, *arguments, **options)

    monkeypatch.setattr(memory, "cat_file", noting)
    expect_cards(root, cards)
    assert [read_card(root, card).boxes[0].issue for card in cards] == [BoxIssue.NONE] * 30
    assert len(asked) == 1
    expect_cards(root, cards[10:])
    assert read_card(root, cards[29]).boxes[0].data == read_card(root, cards[29]).boxes[0].data
    assert list(_joined([])) == []


def test_cards_may_be_read_in_any_order(bucket: str, tmp_path: Path) -> None:
    folder = make_archive(tmp_path / "archive", 40)
    upload(folder)
    root, local = open_archive(bucket), open_archive(folder)
    cards = list(walk(root))
    for order in (cards, cards[::-1], cards[::3], cards[5:6]):
        expect_cards(root, order)
        for card in order:
            assert evidence(root, card) == evidence(local, card)


def test_stamps_are_those_of_the_listing(bucket: str, tmp_path: Path) -> None:
    upload(make_archive(tmp_path / "archive", 2))
    root = open_archive(bucket)
    for relative, there in walk_folders(root, WalkTotals()):
        card = there.card(relative) if there else None
        if card is not None and there is not None:
            stamps = stamp_card(root, card)
            assert stamps == stamp_listed(root, relative, there)
            assert stamps == tuple(box.stamp for box in read_card(root, card).boxes)
            assert all(stamp and stamp.mtime_ns for stamp in stamps)


def test_changes_are_noticed(bucket: str, tmp_path: Path) -> None:
    upload(make_archive(tmp_path / "archive", 2))
    root = open_archive(bucket)
    first, second = walk(root)
    fsspec.filesystem("memory").pipe_file(f"/archive/{first.card_id}/18.png", b"x")
    fsspec.filesystem("memory").rm(f"/archive/{second.card_id}", recursive=True)
    for card in (first, second):
        with pytest.raises(ListingChangedError):
            read_card(root, card)


def test_errors_of_the_network_are_values(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(make_archive(tmp_path / "archive", 2))
    root = open_archive(bucket)
    card = next(walk(root))
    memory = type(fsspec.filesystem("memory"))
    plain, asked = memory.cat_file, []

    def refuse(self: object, path: str, **options: object) -> object:
        asked.append(path)
        if path.endswith("03.png"):
            raise RuntimeError("connection to https://me:secret@host/?sig=abc was reset")
        return plain(self, path, **options)

    monkeypatch.setattr(memory, "cat_file", refuse)
    monkeypatch.setattr(connection, "PAUSES", (0.0, 0.0))
    issues = [box.issue for box in read_card(root, card).boxes]
    assert issues.count(BoxIssue.UNREADABLE_FILE) == 1
    assert sum(path.endswith("03.png") for path in asked) == 3
    monkeypatch.setattr(memory, "ls", lambda self, path, **options: refuse(self, "03.png"))
    assert {box.issue for box in read_card(root, card).boxes} == {BoxIssue.UNREADABLE_FILE}
    totals = WalkTotals()
    assert list(walk(root, totals)) == []
    assert totals.device_errors == 1
    assert "secret" not in totals.unreadable_examples[0]
    assert "abc" not in totals.unreadable_examples[0]


def test_a_network_that_is_down_is_not_asked_for_every_file(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload(make_archive(tmp_path / "archive", 3))
    root = open_archive(bucket)
    card = next(walk(root))
    asked: list[str] = []

    def refuse(self: object, path: str, **options: object) -> object:
        asked.append(path)
        raise TimeoutError

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", refuse)
    monkeypatch.setattr(connection, "DOWN_SECONDS", 1000.0)
    assert {box.issue for box in read_card(root, card).boxes} == {BoxIssue.UNREADABLE_FILE}
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3://key:secret@bucket/archive", r"user or a password: s3://\*\*\*@bucket/archive"),
        ("https://host/archive?token=secret", r"user or a password: https://host/archive\?\*\*\*"),
        ("simplecache::s3://bucket", "complicated"),
        ("s3://", "names no place"),
        ("nosuchprotocol://x/y", "cannot be used"),
    ],
)
def test_urls_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        open_archive(url)
    assert "secret" not in caught.value.message


def test_urls_of_files_are_paths(tmp_path: Path) -> None:
    make_archive(tmp_path / "a b", 2)
    assert contents(f"file://{tmp_path}/a%20b/") == contents(tmp_path / "a b")
    assert not ArchiveUrl.is_url("/srv/s3://x")
    assert not ArchiveUrl.is_url("archive")
    assert redacted("plain words: nothing@all") == "plain words: nothing@all"


def test_an_archive_that_is_not_there(bucket: str) -> None:
    with pytest.raises(ArchiveError, match=r"archive memory://archive (does not exist|holds noth)"):
        open_archive(bucket)
    fsspec.filesystem("memory").pipe_file("/archive", b"x")
    with pytest.raises(ArchiveError, match="is not a folder"):
        open_archive(bucket)


@pytest.fixture
def web(tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("aiohttp")
    (tmp_path / "served").mkdir()

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path / "served"))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    tree_of.cache_clear()


def test_web_servers_that_list_folders(web: str, tmp_path: Path) -> None:
    folder = tmp_path / "served" / "archive"
    make_archive(folder, 3)
    make_card(folder / "box 9 – №" / "card", 9)
    assert contents(f"{web}/archive") == contents(folder)
    pack_archive(open_folders(folder), tmp_path / "served" / "packs", 2, lambda cards: None)
    assert contents(f"{web}/packs") == contents(folder)
    keys = [order_key(relative_path(card)) for card in walk(open_archive(f"{web}/archive"))]
    assert keys == sorted(keys)
    assert os.environ.get("AWS_SECRET_ACCESS_KEY") is None
