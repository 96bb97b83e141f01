"""Archives of hostile cards: files that are none, names that attack, folders without end.

``build_archive`` makes one card of every kind beside healthy ones and tells what must become
of each; only the standard library and the corpus of files are needed, and files of the same
content are hard links, so that a thousand cards take a second.
"""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hostile.corpus import FILES
from vin_batch.archive.names import card_id_of
from vin_batch.records import BoxIssue

BOX: Final = 9
"""The position that holds the specimen."""
LOST_BOXES: Final = 6
"""Boxes without which no card is read: fewer than 12 are left."""
CROWD: Final = 10_000
"""Files in one folder."""

NAMES: Final[tuple[bytes, ...]] = (
    b"line\nbreak", b"carriage\rreturn", b"\r\n=1+1", b"comma, and more", b'"quoted"', b"it's",
    b"'", b"=cmd|' |C calc'!A0", b"+1+1", b"-2+3", b"@SUM(1)", b"\t=1", b" =1", b"a;=1+1;b",
    b'a";=1+1;"', "＝1+1".encode(), b"\x1b[2J", "\u202egnp.evil".encode(), b"<script>alert(1)",
    b"%s%n{0}", b"$(reboot)", b"`id`", b"*", b"-rf", b"C:\\card", b"caf\xe9", b"\xff\xfe", b"\\xff",
    b"\\x5cxff", b"n" * 255, "ж".encode() * 127, b"\x80" * 255, b"NULL", b"01.png", b"0",
    "e\u0301".encode(), "\u00e9".encode(), b"a" + "\u200b".encode(), b"a",
)  # fmt: skip
"""Names of folders, each of which holds a healthy card."""


@dataclass(frozen=True, slots=True)
class Expected:
    """What must become of a card.

    Attributes:
        issue: Of box ``BOX``.
        lost: How many boxes share that issue: 0 for a whole card, 1, or ``LOST_BOXES``.
    """

    issue: BoxIssue
    lost: int


@dataclass(slots=True)
class HostileArchive:
    """An archive and what must become of it.

    Attributes:
        root: The archive.
        cards: Expectations by card id.
        healthy: Ids of the cards that must read as if they were alone.
        links: Links that must be passed by.
        unreadable_folders: Folders that must be counted as not listed by whoever is not root.
    """

    root: Path
    cards: dict[str, Expected] = field(default_factory=dict)
    healthy: list[str] = field(default_factory=list)
    links: int = 0
    unreadable_folders: int = 0


Trick = Callable[[Path], None]
"""Puts something in place of a box file that was removed."""


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    # The name of a socket may have 107 bytes at most, so that it is made from within.
    descriptor = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f"/proc/self/fd/{descriptor}/{path.name}")
    os.close(descriptor)


def _device(path: Path) -> None:
    os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))


def _link_out(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def _link_to_folder(path: Path) -> None:
    path.symlink_to(path.parent)


def _loop(path: Path) -> None:
    path.symlink_to(path.name)


def _dangling(path: Path) -> None:
    path.symlink_to("nowhere.png")


def _folder(path: Path) -> None:
    path.mkdir()


def _locked(path: Path) -> None:
    path.write_bytes(b"secret")
    path.chmod(0)


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**40)


def _twice(path: Path) -> None:
    path.write_bytes(b"one")
    path.with_name("box_9.png").write_bytes(b"other")


TRICKS: Final[Mapping[str, tuple[Trick, BoxIssue]]] = {
    "fifo": (_fifo, BoxIssue.UNREADABLE_FILE),
    "socket": (_socket, BoxIssue.UNREADABLE_FILE),
    "device": (_device, BoxIssue.UNREADABLE_FILE),
    "link out of the archive": (_link_out, BoxIssue.MISSING),
    "link to a folder": (_link_to_folder, BoxIssue.MISSING),
    "link to itself": (_loop, BoxIssue.MISSING),
    "dangling link": (_dangling, BoxIssue.MISSING),
    "folder": (_folder, BoxIssue.MISSING),
    "locked": (_locked, BoxIssue.UNREADABLE_FILE),
    "a terabyte": (_sparse, BoxIssue.OVERSIZED),
    "twice": (_twice, BoxIssue.DUPLICATE),
    "nothing": (lambda _: None, BoxIssue.MISSING),
}


def build_archive(
    root: Path, store: Path, boxes: Sequence[bytes], crop: NDArray[np.uint8]
) -> HostileArchive:
    """Make an archive with a card of every hostile kind.

    Args:
        root: The archive; is made.
        store: A folder on the same file system, outside of it; is made.
        boxes: 17 PNG files of a healthy card.
        crop: The picture of box ``BOX``, from which specimens are made.

    Returns:
        The archive. Whoever is not root cannot list one folder and read one file of it.
    """
    archive = HostileArchive(root)
    builder = _Builder(archive, store, boxes)
    for number, name in enumerate(FILES):
        if number % 20 == 0:
            builder.healthy(b"files/%03d healthy" % number)
        builder.specimen(f"{number:03d} {name}", name, crop)
    for number, (name, (trick, issue)) in enumerate(TRICKS.items()):
        builder.trick(f"{number:03d} {name}", trick, issue)
        builder.healthy(b"tricks/%03d healthy" % number)
    for named in NAMES:
        builder.healthy(b"names/" + named)
        builder.healthy(b"names/" + named + b"/inner/card")
    builder.crowd(b"crowd")
    builder.deep([b"d" * 255] * 18)
    builder.forbidden(root / "forbidden")
    builder.links(root / "links")
    return archive


class _Builder:
    def __init__(self, archive: HostileArchive, store: Path, boxes: Sequence[bytes]) -> None:
        self.archive = archive
        self.store = store
        archive.root.mkdir(parents=True)
        store.mkdir(parents=True)
        for number, data in enumerate(boxes, start=1):
            (store / f"{number:02d}.png").write_bytes(data)

    def healthy(self, relative: bytes) -> Path:
        """A card as it should be, under any name."""
        folder = os.fsencode(self.archive.root) + b"/" + relative
        Path(os.fsdecode(folder)).mkdir(parents=True, exist_ok=True)
        for number in range(1, 18):
            os.link(self.store / f"{number:02d}.png", folder + b"/%02d.png" % number)
        self.archive.healthy.append(card_id_of(relative))
        self.archive.cards[card_id_of(relative)] = Expected(BoxIssue.NONE, 0)
        return Path(os.fsdecode(folder))

    def _broken(self, relative: str, expected: Expected) -> Path:
        folder = self.healthy(relative.encode())
        self.archive.healthy.pop()
        self.archive.cards[relative] = expected
        return folder

    def specimen(self, label: str, name: str, crop: NDArray[np.uint8]) -> None:
        """A card with one such file; and, where the file is lost, one with too many of them."""
        file = self.store / label
        file.write_bytes(FILES[name].make(crop))
        issue, suffix = FILES[name].issue, FILES[name].suffix
        folder = self._broken(f"files/{label}", Expected(issue, int(bool(issue))))
        (folder / f"{BOX:02d}.png").unlink()
        os.link(file, folder / f"{BOX:02d}{suffix}")
        if issue is not BoxIssue.NONE:
            folder = self._broken(f"ruins/{label}", Expected(issue, LOST_BOXES))
            for number in range(BOX, BOX + LOST_BOXES):
                (folder / f"{number:02d}.png").unlink()
                os.link(file, folder / f"{number:02d}{suffix}")

    def trick(self, label: str, trick: Trick, issue: BoxIssue) -> None:
        """A card with something else in place of a file."""
        folder = self._broken(f"tricks/{label}", Expected(issue, 1))
        path = folder / f"{BOX:02d}.png"
        path.unlink()
        try:
            trick(path)
        except PermissionError:  # only root makes devices: then it is just missing
            self.archive.cards[f"tricks/{label}"] = Expected(BoxIssue.MISSING, 1)
        self.archive.links += path.is_symlink()

    def crowd(self, relative: bytes) -> None:
        """A card among ten thousand files; its boxes are what they are, and the rest extra."""
        folder = self.healthy(relative)
        self.archive.healthy.pop()
        for number in range(18, CROWD + 1):
            os.link(self.store / "01.png", folder / f"scan_{number}.png")

    def deep(self, names: Sequence[bytes]) -> None:
        """A card whose path is longer than the system allows for any path."""
        descriptor = os.open(self.archive.root, os.O_RDONLY)
        for name in names:
            os.mkdir(name, dir_fd=descriptor)
            below = os.open(name, os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = below
        for number in range(1, 18):
            name = b"%02d.png" % number
            os.link(os.fsencode(self.store) + b"/" + name, name, dst_dir_fd=descriptor)
        os.close(descriptor)
        card_id = card_id_of(b"/".join(names))
        self.archive.cards[card_id] = Expected(BoxIssue.NONE, 0)
        self.archive.healthy.append(card_id)

    def forbidden(self, folder: Path) -> None:
        """A card that may not be looked at."""
        folder.mkdir()
        (folder / "01.png").write_bytes(b"secret")
        folder.chmod(0)
        self.archive.unreadable_folders += 1

    def links(self, folder: Path) -> None:
        """Links to folders: up, in a circle, and away."""
        folder.mkdir()
        (folder / "up").symlink_to("..")
        (folder / "circle").symlink_to("circle")
        (folder / "away").symlink_to("/")
        self.archive.links += 3
