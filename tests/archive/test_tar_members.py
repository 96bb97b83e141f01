"""Headers of tar files from anybody."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vin_batch.archive.pack_index import index_members
from vin_batch.archive.tar_members import Kind, ReadAt, TarError, members, plain_files

components = (
    st.binary(min_size=1, max_size=70)
    .map(lambda raw: raw.replace(b"/", b"_").replace(b"\0", b"_"))
    .filter(lambda name: name not in {b".", b".."})
)
paths = st.lists(components, min_size=1, max_size=5).map(b"/".join)
FORMATS = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)


def reading(data: bytes) -> ReadAt:
    return lambda offset, length: data[offset : offset + length]


def tar_of(
    files: list[tuple[bytes, bytes]],
    form: int = tarfile.PAX_FORMAT,
    change: Callable[[tarfile.TarInfo], None] = lambda info: None,
) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form, errors="surrogateescape") as tar:
        for name, data in files:
            info = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
            info.size, info.mtime = len(data), 1.5 if form == tarfile.PAX_FORMAT else 1
            change(info)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


@given(st.lists(st.tuples(paths, st.binary(max_size=1200)), max_size=6), st.sampled_from(FORMATS))
@example([("карта/".encode() * 40 + b"01.png", b"x")], tarfile.PAX_FORMAT)
@example([(b"n" * 90 + b"/" + b"m" * 100, b"x")], tarfile.USTAR_FORMAT)
def test_members_are_those_of_the_library(files: list[tuple[bytes, bytes]], form: int) -> None:
    try:
        data = tar_of(files, form)
    except ValueError:
        assert form == tarfile.USTAR_FORMAT, "a name too long for that format"
        return
    found = list(members(reading(data), 0, len(data)))
    assert [(m.name, data[m.data : m.data + m.size]) for m in found] == files
    assert all(member.kind is Kind.FILE for member in found)
    ends = [0, *(member.end for member in found)]
    assert [member.start for member in found] == ends[:-1]


@given(
    st.lists(st.tuples(paths, st.binary(max_size=600)), min_size=1, max_size=4),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=6),
    st.integers(0, 10**6),
)
def test_damage_is_an_error_or_stays_inside(
    files: list[tuple[bytes, bytes]], changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(tar_of(files))
    for place, value in changes:
        data[place % len(data)] = value
    torn = bytes(data[: cut % (len(data) + 1)])
    for each in (bytes(data), torn):
        try:
            found = list(members(reading(each), 0, len(each)))
            index_members(reading(each), len(each))
        except TarError:
            continue
        assert all(0 <= m.start < m.data <= m.data + m.size <= len(each) for m in found)
        assert all(not m.name.startswith(b"/") and b".." not in m.name.split(b"/") for m in found)


@given(
    st.lists(st.tuples(components, st.binary(max_size=1200)), max_size=6),
    st.sampled_from(FORMATS),
    st.sampled_from([b"", b"card", b"box/card"]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=1),
)
@example(files=[(b"_", b"")], form=tarfile.USTAR_FORMAT, folder=b"", changes=[(154, 1)])
def test_the_quick_way_agrees_with_the_other(
    files: list[tuple[bytes, bytes]], form: int, folder: bytes, changes: list[tuple[int, int]]
) -> None:
    prefix = folder + b"/" if folder else b""
    data = tar_of([(prefix + name, content) for name, content in files], form)
    whole = list(members(reading(data), 0, len(data)))
    span = bytearray(data[: whole[-1].end if whole else 0])
    for place, value in changes if span else []:
        span[place % len(span)] = value
    quick = plain_files(bytes(span), prefix)
    try:
        found = list(members(reading(bytes(span)), 0, len(span)))
    except TarError:
        assert quick is None
        return
    if quick is not None:
        assert quick == {m.name.removeprefix(prefix): (m.data, m.size) for m in found}
        assert all(m.kind is Kind.FILE for m in found)
    elif form == tarfile.USTAR_FORMAT and not changes:
        names = [name for name, _ in files]
        assert len(set(names)) < len(names) or any(len(prefix + name) > 99 for name in names)


def test_large_sizes_are_read_in_base_256() -> None:
    info = tarfile.TarInfo("c/01.png")
    info.size = 9 * 2**30
    header = info.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(TarError, match=r"ends within c/01\.png"):
        list(members(reading(header), 0, len(header)))
    end = 512 + info.size
    (member,) = members(reading(header), 0, end)
    assert (member.size, member.end) == (info.size, end)


def link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0


def sparse(info: tarfile.TarInfo) -> None:
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}


HOSTILE = {
    "absolute": ([(b"/etc/01.png", b"x")], None, "absolute path"),
    "leaving": ([(b"a/../../01.png", b"x")], None, "leaves its folder"),
    "twice": ([(b"a/01.png", b"x"), (b"a/01.png", b"y")], None, "a/01.png twice"),
    "twice under another name": ([(b"a/01.png", b"x"), (b"./a//01.png", b"y")], None, "twice"),
    "sparse": ([(b"a/01.png", b"x")], sparse, "sparse"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_members_are_refused(case: str) -> None:
    files, change, words = HOSTILE[case]
    data = tar_of(files, change=change or (lambda info: None))
    with pytest.raises(TarError, match=words):
        index_members(reading(data), len(data))


def test_links_and_hidden_folders_are_counted_and_left_out() -> None:
    linked = tar_of([(b"a/01.png", b"")], tarfile.USTAR_FORMAT, link)[:512]
    data = linked + tar_of([(b"b/.x/01.png", b"x")])
    contents = index_members(reading(data), len(data))
    assert (contents.rows, contents.links, contents.hidden_folders) == ([], 1, 1)


MEMBER_BYTES = 1536
"""A header and 600 bytes in two blocks."""
SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no mark": (lambda data: data[:MEMBER_BYTES], "torn: the mark at its end is missing"),
    "half a mark": (lambda data: data[: MEMBER_BYTES + 512], "torn"),
    "two in one": (lambda data: data + data, "something behind its end"),
    "another format": (lambda data: b"\x1f\x8b" + data[2:], "no header at byte 0"),
    "empty": (lambda data: b"", "torn"),
    "half a header": (lambda data: data[:300], "ends within a header"),
    "half a file": (lambda data: data[:1000], r"ends within a/01\.png"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_torn_and_strange_files_are_refused(case: str) -> None:
    spoil, words = SPOILED[case]
    data = spoil(tar_of([(b"a/01.png", b"x" * 600)], tarfile.USTAR_FORMAT))
    with pytest.raises(TarError, match=words):
        index_members(reading(data), len(data))


def test_extensions_are_bounded() -> None:
    info = tarfile.TarInfo("./PaxHeaders/x")
    info.type, info.size = tarfile.XHDTYPE, 2**21
    data = info.tobuf(tarfile.USTAR_FORMAT) + bytes(2**21 + 1024)
    with pytest.raises(TarError, match="extended header at byte 512 has 2097152 bytes"):
        index_members(reading(data), len(data))


def test_cards_between_each_other_are_found_and_sorted() -> None:
    files = [(b"b/1.png", b"1"), (b"a/1.png", b"2"), (b"b/2.png", b"3"), (b"b/x.txt", b"4")]
    data = tar_of(files)
    rows = index_members(reading(data), len(data)).rows
    assert [(row.path, row.images, row.ignored_files) for row in rows] == [
        (b"a", 1, 0),
        (b"b", 2, 1),
    ]
    scattered = [(b"c%d/%d.png" % (card, box), b"x") for box in range(40) for card in range(40)]
    data = tar_of(scattered)
    with pytest.raises(TarError, match="do not lie together"):
        index_members(reading(data), len(data))
